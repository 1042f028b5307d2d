package main

import (
	"fmt"
	"io"
	"strings"
)

// Name of each column, and the width that it gets when its data are narrower.
var columns = [4]struct {
	name  string
	width int
}{{"UUID", 37}, {"VARIANT", 9}, {"TYPE", 10}, {"TIME", 31}}

func jsonString(cell *string) string {
	if cell == nil {
		return "null"
	}
	const plain, letters = "\b\t\n\f\r\"\\", "btnfr\"\\"
	var out strings.Builder
	out.WriteByte('"')
	for i := range len(*cell) {
		c := (*cell)[i]
		if at := strings.IndexByte(plain, c); at >= 0 {
			out.WriteByte('\\')
			out.WriteByte(letters[at])
		} else if c < 32 {
			fmt.Fprintf(&out, "\\u%04x", c)
		} else {
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}

func printJSON(out io.Writer, rows []row, chosen []int) {
	io.WriteString(out, "{\n   \"uuids\": [\n")
	for i, row := range rows {
		if i == 0 {
			io.WriteString(out, "      {\n")
		} else {
			io.WriteString(out, ",{\n")
		}
		for at, column := range chosen {
			comma := ","
			if at+1 == len(chosen) {
				comma = ""
			}
			fmt.Fprintf(out, "         \"%s\": %s%s\n", strings.ToLower(columns[column].name), jsonString(row[column]), comma)
		}
		io.WriteString(out, "      }")
	}
	io.WriteString(out, "\n   ]\n}\n")
}

func escaped(cell *string, raw bool) string {
	if cell == nil {
		return ""
	}
	var out strings.Builder
	for i := range len(*cell) {
		c := (*cell)[i]
		backslash := c == '\\' && (raw || strings.HasPrefix((*cell)[i+1:], "x"))
		if c < 32 || c > 126 || backslash || raw && c == ' ' {
			fmt.Fprintf(&out, "\\x%02x", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

func printLines(out io.Writer, rows []row, chosen []int, headings, raw bool) {
	if len(rows) == 0 {
		return
	}
	var lines [][]string
	widths := make([]int, len(chosen))
	if headings {
		var line []string
		for _, column := range chosen {
			line = append(line, columns[column].name)
		}
		lines = append(lines, line)
	}
	for _, row := range rows {
		var line []string
		for at, column := range chosen {
			cell := escaped(row[column], raw)
			widths[at] = max(widths[at], len(cell))
			line = append(line, cell)
		}
		lines = append(lines, line)
	}
	for at, column := range chosen {
		heading := 0
		if headings {
			heading = len(columns[column].name)
		}
		if raw || at+1 == len(chosen) {
			widths[at] = 0
		} else if widths[at] == 0 || widths[at] < heading {
			widths[at] = heading
		} else {
			widths[at] = max(widths[at], columns[column].width)
		}
	}
	for _, line := range lines {
		for at, cell := range line {
			if at > 0 {
				io.WriteString(out, " ")
			}
			io.WriteString(out, cell)
			if pad := widths[at] - len(cell); pad > 0 {
				io.WriteString(out, strings.Repeat(" ", pad))
			}
		}
		io.WriteString(out, "\n")
	}
}
