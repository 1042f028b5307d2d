// The options of the target `cprepro` in those of mcpp: predefined macros and the system's directories off.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <mcpp_lib.h>

int main(int argc, char** argv) {
  char* given[argc + 1];
  int count = 0;
  // It warns of a locale whose name it does not know.
  unsetenv("LC_ALL");
  for (int i = 0; i < argc; i++) {
    if (strcmp(argv[i], "-E") == 0 || strcmp(argv[i], "-quiet") == 0) continue;
    if (strcmp(argv[i], "-undef") == 0) given[count++] = "-N";
    else if (strcmp(argv[i], "-nostdinc") == 0) given[count++] = "-I-";
    else given[count++] = argv[i];
  }
  given[count] = NULL;
  return mcpp_lib_main(count, given) != 0;
}
