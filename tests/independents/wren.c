// A command line for the Wren of a crate that has the language alone: files, imports, messages and exit codes as in Wren's own.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "wren.h"

static char directory[4096];

static char* contents(const char* path) {
  FILE* file = fopen(path, "rb");
  if (!file) return NULL;
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  char* text = malloc(size + 1);
  text[fread(text, 1, size, file)] = '\0';
  fclose(file);
  return text;
}

static void put(WrenVM* vm, const char* text) {
  printf("%s", text);
  fflush(stdout);
}

static void report(WrenVM* vm, WrenErrorType type, const char* module, int line, const char* message) {
  if (type == WREN_ERROR_RUNTIME) fprintf(stderr, "%s\n", message);
  else fprintf(stderr, "[%s line %d] %s%s\n", module, line, type == WREN_ERROR_STACK_TRACE ? "in " : "", message);
}

static WrenLoadModuleResult load(WrenVM* vm, const char* name) {
  WrenLoadModuleResult result = {0};
  char path[8192];
  snprintf(path, sizeof path, "%s%s.wren", directory, name);
  result.source = contents(path);
  if (!result.source) {
    snprintf(path, sizeof path, "%s%s/module.wren", directory, name);
    result.source = contents(path);
  }
  return result;
}

int main(int count, char** arguments) {
  if (count < 2) return 0;
  char* source = contents(arguments[1]);
  if (!source) {
    fprintf(stderr, "Could not find file \"%s\".\n", arguments[1]);
    return 66;
  }
  char* slash = strrchr(arguments[1], '/');
  if (slash && slash - arguments[1] + 1 < (long)sizeof directory)
    memcpy(directory, arguments[1], slash - arguments[1] + 1);
  WrenConfiguration configuration;
  wrenInitConfiguration(&configuration);
  configuration.writeFn = put;
  configuration.errorFn = report;
  configuration.loadModuleFn = load;
  WrenInterpretResult result = wrenInterpret(wrenNewVM(&configuration), "main", source);
  return result == WREN_RESULT_COMPILE_ERROR ? 65 : result == WREN_RESULT_RUNTIME_ERROR ? 70 : 0;
}
