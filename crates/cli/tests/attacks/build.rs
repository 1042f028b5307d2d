//! Build scripts: here C, whose preprocessor and assembler read files.

use crate::table::{Act, Attack, Twin, attack, slow};

const BY: &str = "a build";
const OWN: &str = "the build sees its toolchain's image and its own source, nothing of the host";

pub(crate) fn attacks() -> Vec<Attack> {
    let act = |name, tries, source, wall| {
        slow(attack(
            BY,
            (name, tries, wall),
            Act::Build(source),
            Twin::No("a build on the host would be one"),
        ))
    };
    vec![
        act(
            "include-host",
            "`#include` of the host's files, told by `__has_include`",
            concat!(
                "#if __has_include(\"",
                env!("CARGO_MANIFEST_DIR"),
                "/Cargo.toml\") || __has_include(\"/proc/1/environ\")\n#pragma message \"WON\"\n#endif\nint main(void) { return 0; }\n"
            ),
            OWN,
        ),
        act(
            "incbin-cases",
            "`.incbin` of hidden cases and of the reference",
            concat!(
                "#include <stdio.h>\nextern char a[];\nasm(\".section .rodata\\n.globl a\\na: .incbin \\\"",
                env!("CARGO_MANIFEST_DIR"),
                "/../../targets/jq_simple/tests/hidden.jsonl\\\"\\n\");\nint main(void) { puts(\"W\" \"ON\"); return a[0] != '{'; }\n"
            ),
            OWN,
        ),
        act(
            "incbin-init",
            "`.incbin` of the init's memory and environment",
            "#include <stdio.h>\nextern char a[];\nasm(\".section .rodata\\n.globl a\\na: .incbin \\\"/proc/1/environ\\\"\\n\");\nint main(void) { puts(\"W\" \"ON\"); return 0; }\n",
            "the init is not dumpable",
        ),
        act(
            "endless-include",
            "a file that includes itself and grows",
            "#define A \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"\n#include __FILE__\nint main(void) { return 0; }\n",
            "the compiler's depth; the build's limits",
        ),
        act(
            "giant-artifact",
            "an artifact of a gigabyte",
            "#include <stdio.h>\nchar a[1 << 30] = {1};\nint main(void) { puts(\"W\" \"ON\"); return 0; }\n",
            "file-size limit",
        ),
        act(
            "spawn-from-program",
            "the built program starts a shell",
            "#include <stdlib.h>\n#include <stdio.h>\n#include <unistd.h>\nint main(void) { if (system(\"exit 7\") == 7 << 8) puts(\"W\" \"ON\"); execl(\"/bin/sh\", \"sh\", \"-c\", \"echo W''ON\", (char *)0); execl(\"/lib64/ld-linux-x86-64.so.2\", \"ld\", \"/bin/sh\", (char *)0); return 0; }\n",
            "no shell in the runtime; Landlock",
        ),
        act(
            "small-processes",
            "many processes smaller than the keeper, and memory that counts for none",
            "#include <unistd.h>\n#include <stdio.h>\n#include <fcntl.h>\n#include <stdlib.h>\n#include <string.h>\nint main(void) { static char b[1 << 20]; memset(b, 1, sizeof b); const char *n[] = {\"/tmp/a\", \"/case/a\"}; for (int i = 0; i < 2; i++) { int f = open(n[i], O_CREAT | O_WRONLY, 0600); for (int j = 0; j < 63; j++) if (write(f, b, sizeof b) < 0) break; } for (int i = 0; i < 60; i++) if (fork() == 0) { char *p = malloc(12 << 20); if (p) memset(p, i, 12 << 20); sleep(3); _exit(0); } sleep(2); return 0; }\n",
            "commands are offered to the kernel first when memory is used up",
        ),
    ]
}
