// The options of the target `cprepro` in those of the library of tcc, which preprocesses when that is the kind of output.
#include <stdio.h>
#include <string.h>
#include <libtcc.h>

static const char* const unknown[] = {"-E", "-quiet", "-undef"};
static const char* const with_value[] = {"-D", "-U", "-I", "-include", "-isystem"};

#define HAS(list, word) has(list, sizeof list / sizeof *list, word)
static int has(const char* const* list, size_t count, const char* word) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(list[i], word) == 0) return 1;
  return 0;
}

int main(int argc, char** argv) {
  TCCState* state = tcc_new();
  const char* source = "-";
  tcc_set_output_type(state, 5);
  for (int i = 1; i < argc; i++) {
    char option[4096];
    if (HAS(unknown, argv[i])) continue;
    snprintf(option, sizeof option, "%s", argv[i]);
    if (HAS(with_value, argv[i]) && i + 1 < argc) snprintf(option, sizeof option, "%s %s", argv[i], argv[i + 1]), i++;
    if (option[0] == '-' && option[1]) tcc_set_options(state, option);
    else source = argv[i];
  }
  int status = tcc_add_file(state, source) < 0;
  tcc_delete(state);
  return status;
}
