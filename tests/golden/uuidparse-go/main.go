// Tells variant, type and time of UUIDs, as a table, raw or as JSON.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

const help = `
Usage:
 uuidparse [options] <uuid ...>

Options:
 -J, --json             use JSON output format
 -n, --noheadings       don't print headings
 -o, --output <list>    COLUMNS to display (see below)
 -r, --raw              use the raw output format
 -h, --help             display this help
 -V, --version          display version

Available output columns:
     UUID  unique identifier
  VARIANT  variant name
     TYPE  type name
     TIME  timestamp

For more details see uuidparse(1).
`

// What the command line asks for.
type settings struct {
	json, raw, noHeadings bool
	list                  *string
	operands              []string
}

// An early end: what it prints, where, and the exit status.
type ending struct {
	status  int
	message string
}

func fail(format string, values ...any) {
	panic(ending{1, "uuidparse: " + fmt.Sprintf(format, values...) + "\n"})
}

func failWithHint(format string, values ...any) {
	fail(format+"\nTry 'uuidparse --help' for more information.", values...)
}

var long = []struct {
	name   string
	letter byte
}{{"json", 'J'}, {"noheadings", 'n'}, {"output", 'o'}, {"raw", 'r'}, {"version", 'V'}, {"help", 'h'}}

func findLong(word string) (string, byte) {
	prefix, _, _ := strings.Cut(word, "=")
	var matches []int
	for i, option := range long {
		if option.name == prefix {
			return option.name, option.letter
		}
		if strings.HasPrefix(option.name, prefix) {
			matches = append(matches, i)
		}
	}
	if len(matches) == 0 {
		failWithHint("unrecognized option '--%s'", word)
	}
	if len(matches) > 1 {
		names := ""
		for _, i := range matches {
			names += " '--" + long[i].name + "'"
		}
		failWithHint("option '--%s' is ambiguous; possibilities:%s", word, names)
	}
	return long[matches[0]].name, long[matches[0]].letter
}

func (s *settings) take(letter byte, value string) {
	switch letter {
	case 'J':
		s.json = true
	case 'r':
		s.raw = true
	case 'n':
		s.noHeadings = true
	case 'o':
		s.list = &value
	case 'h':
		panic(ending{0, help})
	case 'V':
		panic(ending{0, "uuidparse from util-linux 2.41.5\n"})
	}
	if s.json && s.raw {
		fail("mutually exclusive arguments: --json --raw")
	}
}

func readOptions(words []string) *settings {
	s := &settings{}
	_, posix := os.LookupEnv("POSIXLY_CORRECT")
	for at := 0; at < len(words); at++ {
		word := words[at]
		switch {
		case word == "--":
			s.operands = append(s.operands, words[at+1:]...)
			return s
		case strings.HasPrefix(word, "--"):
			name, letter := findLong(word[2:])
			_, value, given := strings.Cut(word, "=")
			if given && letter != 'o' {
				failWithHint("option '--%s' doesn't allow an argument", name)
			}
			if !given && letter == 'o' {
				at++
				if at == len(words) {
					failWithHint("option '--%s' requires an argument", name)
				}
				value = words[at]
			}
			s.take(letter, value)
		case len(word) > 1 && word[0] == '-':
			for i := 1; i < len(word); i++ {
				if strings.IndexByte("JnorVh", word[i]) < 0 {
					failWithHint("invalid option -- '%s'", word[i:i+1])
				}
				if word[i] != 'o' {
					s.take(word[i], "")
					continue
				}
				value := word[i+1:]
				if value == "" {
					at++
					if at == len(words) {
						failWithHint("option requires an argument -- 'o'")
					}
					value = words[at]
				}
				s.take('o', value)
				break
			}
		case posix:
			s.operands = append(s.operands, words[at:]...)
			return s
		default:
			s.operands = append(s.operands, word)
		}
	}
	return s
}

const mostColumns = 8

func upper(text string) string {
	raw := []byte(text)
	for i, c := range raw {
		if 'a' <= c && c <= 'z' {
			raw[i] = c - 32
		}
	}
	return string(raw)
}

func findColumn(name, rest string) int {
	for i, column := range columns {
		if column.name == upper(name) {
			return i
		}
	}
	fail("unknown column: %s", rest)
	return 0
}

func chooseColumns(list string) []int {
	var chosen []int
	if strings.HasPrefix(list, "+") {
		chosen = []int{0, 1, 2, 3}
		list = list[1:]
	}
	if list == "" {
		panic(ending{1, ""})
	}
	begin := -1
	for i := range len(list) {
		if len(chosen) >= mostColumns {
			panic(ending{1, ""})
		}
		if begin < 0 {
			begin = i
		}
		end := -1
		if list[i] == ',' {
			end = i
		}
		if i+1 == len(list) {
			end = i + 1
		}
		if end < 0 {
			continue
		}
		if end == begin {
			panic(ending{1, ""})
		}
		chosen = append(chosen, findColumn(list[begin:end], list[begin:]))
		begin = -1
	}
	return chosen
}

// At most 36 bytes make a word, and the byte after it is lost; one that the input ends with does not count.
func readWords(input []byte) []string {
	var words []string
	for at := 0; ; {
		for at < len(input) && bytes.IndexByte([]byte(" \t\n\v\f\r"), input[at]) >= 0 {
			at++
		}
		end := at
		for end < len(input) && end-at < 36 && bytes.IndexByte([]byte(" \t\n"), input[end]) < 0 {
			end++
		}
		if end == len(input) {
			return words
		}
		word, _, _ := bytes.Cut(input[at:end], []byte{0})
		words = append(words, string(word))
		at = end + 1
	}
}

func run(words []string, out io.Writer) {
	s := readOptions(words)
	chosen := []int{0, 1, 2, 3}
	if s.list != nil {
		chosen = chooseColumns(*s.list)
	}
	if len(s.operands) == 0 {
		input, _ := io.ReadAll(os.Stdin)
		s.operands = readWords(input)
	}
	zone := parseZone(os.Getenv("TZ"))
	var rows []row
	for _, word := range s.operands {
		rows = append(rows, describe(word, zone))
	}
	if s.json {
		printJSON(out, rows, chosen)
	} else {
		printLines(out, rows, chosen, !s.noHeadings, s.raw)
	}
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer func() {
		out.Flush()
		switch end := recover().(type) {
		case nil:
		case ending:
			if end.status == 0 {
				os.Stdout.WriteString(end.message)
			} else {
				os.Stderr.WriteString(end.message)
			}
			os.Exit(end.status)
		default:
			panic(end)
		}
	}()
	run(os.Args[1:], out)
}
