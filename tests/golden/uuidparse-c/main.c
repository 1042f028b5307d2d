/* Tells variant, type and time of UUIDs, as a table, raw or as JSON. */
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { UUID, VARIANT, TYPE, TIME, KINDS };
enum { MOST_COLUMNS = 8, WORD = 36 };

static const char *const NAMES[KINDS] = {"UUID", "VARIANT", "TYPE", "TIME"};
/* The width that a column gets when its data are narrower. */
static const size_t WIDTHS[KINDS] = {37, 9, 10, 31};
/* From 1582-10-15 to 1970-01-01, in units of 100 ns. */
static const uint64_t GREGORIAN = 0x01B21DD213814000;

static const char HELP[] =
    "\nUsage:\n uuidparse [options] <uuid ...>\n\nOptions:\n"
    " -J, --json             use JSON output format\n"
    " -n, --noheadings       don't print headings\n"
    " -o, --output <list>    COLUMNS to display (see below)\n"
    " -r, --raw              use the raw output format\n"
    " -h, --help             display this help\n"
    " -V, --version          display version\n\n"
    "Available output columns:\n"
    "     UUID  unique identifier\n"
    "  VARIANT  variant name\n"
    "     TYPE  type name\n"
    "     TIME  timestamp\n\n"
    "For more details see uuidparse(1).\n";

static const struct {
    const char *name;
    char letter;
} LONG[] = {{"json", 'J'}, {"noheadings", 'n'}, {"output", 'o'}, {"raw", 'r'}, {"version", 'V'}, {"help", 'h'}};
enum { LONGS = sizeof LONG / sizeof *LONG };

struct row {
    const char *cells[KINDS]; /* NULL where there is nothing to say */
};

static struct {
    bool json, raw, no_headings;
    const char *list;
    int columns[MOST_COLUMNS];
    int count;
} options = {.columns = {UUID, VARIANT, TYPE, TIME}, .count = KINDS};

static struct row *rows;
static size_t row_count, row_room;

static void *grown(void *old, size_t size)
{
    void *new = realloc(old, size);
    if (!new)
        abort();
    return new;
}

static _Noreturn void hint(void)
{
    fputs("Try 'uuidparse --help' for more information.\n", stderr);
    exit(1);
}

/* Options */

static int find_long(const char *word)
{
    size_t length = strcspn(word, "=");
    int found = -1, matches = 0;
    for (int i = 0; i < LONGS; i++) {
        if (strncmp(LONG[i].name, word, length))
            continue;
        if (strlen(LONG[i].name) == length)
            return i;
        found = i;
        matches++;
    }
    if (matches == 1)
        return found;
    if (!matches) {
        fprintf(stderr, "uuidparse: unrecognized option '--%s'\n", word);
        hint();
    }
    fprintf(stderr, "uuidparse: option '--%s' is ambiguous; possibilities:", word);
    for (int i = 0; i < LONGS; i++)
        if (!strncmp(LONG[i].name, word, length))
            fprintf(stderr, " '--%s'", LONG[i].name);
    fputc('\n', stderr);
    hint();
}

static void take(char letter, const char *value)
{
    switch (letter) {
    case 'J': options.json = true; break;
    case 'r': options.raw = true; break;
    case 'n': options.no_headings = true; break;
    case 'o': options.list = value; break;
    case 'h':
        fputs(HELP, stdout);
        exit(0);
    case 'V':
        puts("uuidparse from util-linux 2.41.5");
        exit(0);
    }
    if (options.json && options.raw) {
        fputs("uuidparse: mutually exclusive arguments: --json --raw\n", stderr);
        exit(1);
    }
}

/* Moves operands to the front of `words` and returns their number. */
static int read_options(int count, char **words)
{
    bool only_operands = false, posix = getenv("POSIXLY_CORRECT");
    int operands = 0;
    for (int at = 0; at < count; at++) {
        char *word = words[at];
        if (only_operands || word[0] != '-' || !word[1]) {
            words[operands++] = word;
            only_operands |= posix;
        } else if (!strcmp(word, "--")) {
            only_operands = true;
        } else if (word[1] == '-') {
            int found = find_long(word + 2);
            char *value = strchr(word, '=');
            if (value && LONG[found].letter != 'o') {
                fprintf(stderr, "uuidparse: option '--%s' doesn't allow an argument\n", LONG[found].name);
                hint();
            }
            if (value)
                value++;
            else if (LONG[found].letter == 'o') {
                if (++at == count) {
                    fprintf(stderr, "uuidparse: option '--%s' requires an argument\n", LONG[found].name);
                    hint();
                }
                value = words[at];
            }
            take(LONG[found].letter, value);
        } else {
            for (char *letter = word + 1; *letter; letter++) {
                if (!strchr("JnorVh", *letter)) {
                    fprintf(stderr, "uuidparse: invalid option -- '%c'\n", *letter);
                    hint();
                }
                if (*letter != 'o') {
                    take(*letter, NULL);
                    continue;
                }
                char *value = letter + 1;
                if (!*value && ++at == count) {
                    fputs("uuidparse: option requires an argument -- 'o'\n", stderr);
                    hint();
                }
                take('o', *value ? value : words[at]);
                break;
            }
        }
    }
    return operands;
}

static int find_column(const char *name, size_t length)
{
    for (int i = 0; i < KINDS; i++)
        if (strlen(NAMES[i]) == length && !strncasecmp(NAMES[i], name, length))
            return i;
    fprintf(stderr, "uuidparse: unknown column: %s\n", name);
    exit(1);
}

static void choose_columns(const char *list)
{
    if (*list == '+')
        list++;
    else
        options.count = 0;
    if (!*list)
        exit(1);
    const char *begin = NULL;
    for (; *list; list++) {
        if (options.count == MOST_COLUMNS)
            exit(1);
        if (!begin)
            begin = list;
        const char *end = *list == ',' ? list : NULL;
        if (!list[1])
            end = list + 1;
        if (!end)
            continue;
        if (end == begin)
            exit(1);
        options.columns[options.count++] = find_column(begin, end - begin);
        begin = NULL;
    }
}

/* UUIDs */

static const char *moment(uint64_t seconds, unsigned micros)
{
    time_t when = seconds;
    struct tm local;
    localtime_r(&when, &local);
    long offset = labs(local.tm_gmtoff);
    char *text = grown(NULL, 64);
    /* The sign is that of the hours: it is lost when they are zero. */
    snprintf(text, 64, "%04d-%02d-%02d %02d:%02d:%02d,%06u%c%02ld:%02ld", local.tm_year + 1900, local.tm_mon + 1,
             local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec, micros, local.tm_gmtoff <= -3600 ? '-' : '+',
             offset / 3600, offset / 60 % 60);
    return text;
}

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* The two halves of the number; false if the word is none. */
static bool parse(const char *word, uint64_t *first, uint64_t *second)
{
    if (strlen(word) != WORD)
        return false;
    uint64_t halves[2] = {0, 0};
    int digits = 0;
    for (int i = 0; i < WORD; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? word[i] != '-' : !isxdigit((unsigned char)word[i]))
            return false;
        if (!dash)
        {
            halves[digits / 16] = halves[digits / 16] << 4 | digit(word[i]);
            digits++;
        }
    }
    *first = halves[0];
    *second = halves[1];
    return true;
}

static void add(const char *word)
{
    static const char *const types[16] = {"unknown", "time-based", "DCE", "name-based", "random", "sha1-based",
                                          "time-v6", "time-v7", "vendor", "unknown", "unknown", "unknown",
                                          "unknown", "unknown", "unknown", "unknown"};
    if (row_count == row_room) {
        row_room = row_room ? 2 * row_room : 16;
        rows = grown(rows, row_room * sizeof *rows);
    }
    struct row *row = &rows[row_count++];
    *row = (struct row){.cells = {*word ? word : NULL}};
    uint64_t first, second;
    if (!parse(word, &first, &second)) {
        row->cells[VARIANT] = row->cells[TYPE] = row->cells[TIME] = "invalid";
        return;
    }
    unsigned top = second >> 60;
    row->cells[VARIANT] = top < 8 ? "NCS" : top < 12 ? "DCE" : top < 14 ? "Microsoft" : "other";
    if (top < 8 || top > 11)
        return;
    unsigned version = first >> 12 & 15;
    row->cells[TYPE] = types[version];
    uint64_t high = first >> 32, middle = first >> 16 & 0xFFFF, low = first & 0xFFF;
    if (version == 1 || version == 6) {
        uint64_t ticks = version == 1 ? low << 48 | middle << 32 | high : high << 28 | middle << 12 | low;
        ticks -= GREGORIAN;
        row->cells[TIME] = moment(ticks / 10000000, ticks % 10000000 / 10);
    } else if (version == 7) {
        uint64_t millis = first >> 16;
        row->cells[TIME] = moment(millis / 1000, millis % 1000 * 1000);
    }
}

/* At most 36 bytes make a word, and the byte after it is lost; one that the input ends with does not count. */
static void read_words(void)
{
    int c = getchar();
    for (;;) {
        while (c != EOF && strchr(" \t\n\v\f\r", c) && c)
            c = getchar();
        char *word = grown(NULL, WORD + 1);
        size_t length = 0;
        while (c != EOF && length < WORD && c != ' ' && c != '\t' && c != '\n') {
            word[length++] = c;
            c = getchar();
        }
        if (c == EOF)
            return;
        word[length] = '\0';
        add(word);
        c = getchar();
    }
}

/* Output */

static void print_json_string(const char *text)
{
    static const char plain[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    if (!text) {
        fputs("null", stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        const char *found = strchr(plain, *text);
        if (found)
            printf("\\%c", letters[found - plain]);
        else if ((unsigned char)*text < 32)
            printf("\\u%04x", *text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_json(void)
{
    fputs("{\n   \"uuids\": [\n", stdout);
    for (size_t r = 0; r < row_count; r++) {
        fputs(r ? ",{\n" : "      {\n", stdout);
        for (int i = 0; i < options.count; i++) {
            fputs("         \"", stdout);
            for (const char *c = NAMES[options.columns[i]]; *c; c++)
                putchar(tolower(*c));
            fputs("\": ", stdout);
            print_json_string(rows[r].cells[options.columns[i]]);
            fputs(i + 1 < options.count ? ",\n" : "\n", stdout);
        }
        fputs("      }", stdout);
    }
    fputs("\n   ]\n}\n", stdout);
}

static const char *escaped(const char *cell)
{
    if (!cell)
        return "";
    char *text = grown(NULL, 4 * strlen(cell) + 1), *end = text;
    for (const char *c = cell; *c; c++) {
        unsigned char byte = *c;
        bool backslash = byte == '\\' && (options.raw || c[1] == 'x');
        if (byte < 32 || byte > 126 || backslash || (options.raw && byte == ' '))
            end += sprintf(end, "\\x%02x", byte);
        else
            *end++ = byte;
    }
    *end = '\0';
    return text;
}

static void print_line(const struct row *row, const size_t *widths)
{
    for (int i = 0; i < options.count; i++)
        printf("%s%-*s", i ? " " : "", (int)widths[i], row->cells[options.columns[i]]);
    putchar('\n');
}

static void print_lines(void)
{
    if (!row_count)
        return;
    size_t widths[MOST_COLUMNS] = {0};
    for (size_t r = 0; r < row_count; r++)
        for (int kind = 0; kind < KINDS; kind++)
            rows[r].cells[kind] = escaped(rows[r].cells[kind]);
    for (int i = 0; !options.raw && i + 1 < options.count; i++) {
        int kind = options.columns[i];
        size_t heading = options.no_headings ? 0 : strlen(NAMES[kind]), widest = 0;
        for (size_t r = 0; r < row_count; r++) {
            size_t length = strlen(rows[r].cells[kind]);
            widest = length > widest ? length : widest;
        }
        if (!widest || widest < heading)
            widths[i] = heading;
        else
            widths[i] = widest > WIDTHS[kind] ? widest : WIDTHS[kind];
    }
    struct row headings;
    memcpy(headings.cells, NAMES, sizeof headings.cells);
    if (!options.no_headings)
        print_line(&headings, widths);
    for (size_t r = 0; r < row_count; r++)
        print_line(&rows[r], widths);
}

int main(int argc, char **argv)
{
    int operands = read_options(argc - 1, argv + 1);
    if (options.list)
        choose_columns(options.list);
    if (operands)
        for (int i = 1; i <= operands; i++)
            add(argv[i]);
    else
        read_words();
    if (options.json)
        print_json();
    else
        print_lines();
    return 0;
}
