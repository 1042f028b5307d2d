"""A language model made here: `tiny.py FILE.gguf`. Its weights are random, but for one habit: at the beginning of a
turn it thinks, writes a call of `shell`, then another, and ends. A real server runs it as it runs any model.

Then `tiny.py FILE.gguf PORT [API-KEY]` serves it with llama.cpp on loopback until it is ended.
"""

import os
import sys
import time

CONTEXT = 4096
TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


SAYS = ["<think>\nI should look.\n</think>\n\n"] + [
    '<tool_call>\n{"name": "shell", "arguments": {"script": "%s"}}\n</tool_call>' % script for script in ("ls", "pwd")
]


def written(text, letters):
    return "".join(letters[byte] for byte in text.encode())


def make(path):
    import gguf
    import numpy

    width, layers, heads, inner = 320, 1, 4, 64
    # How byte-level vocabularies write bytes that do not print.
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, beyond = {}, 0
    for byte in range(256):
        if byte in printing:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(256 + beyond)
            beyond += 1
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    pair = letters[ord("t")] + letters[ord("h")]
    tokens = [letters[byte] for byte in range(256)] + [pair] + special + [written(text, letters) for text in SAYS]
    kinds = [gguf.TokenType.NORMAL] * 357 + [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * 3
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_rope_dimension_count(width // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{letters[ord('t')]} {letters[ord('h')]}"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(259)
    writer.add_pad_token_id(257)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    chance = numpy.random.default_rng(7)

    def tensor(name, *shape):
        writer.add_tensor(name, chance.normal(0, 0.01, shape).astype(numpy.float32))

    # Vectors of tokens are far apart, so that one can ask for the next.
    vectors = chance.normal(0, 1, (len(tokens), width)).astype(numpy.float32)
    wanted = chance.normal(0, 0.01, (len(tokens), width)).astype(numpy.float32)
    for token, following in ((ord("\n"), 260), (260, 261), (261, 262), (262, 259)):
        wanted[following] += vectors[token]
    writer.add_tensor("token_embd.weight", vectors)
    writer.add_tensor("output.weight", wanted)
    writer.add_tensor("output_norm.weight", numpy.ones(width, numpy.float32))
    for layer in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", numpy.ones(width, numpy.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"blk.{layer}.{name}.weight", width, width)
        tensor(f"blk.{layer}.ffn_gate.weight", inner, width)
        tensor(f"blk.{layer}.ffn_up.weight", inner, width)
        tensor(f"blk.{layer}.ffn_down.weight", width, inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def serve(path, port, key):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {"tiny"}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT
    params.n_parallel = 1
    params.use_jinja = True
    params.warmup = False
    params.cpuparams.n_threads = 1
    params.verbosity = -1
    if key:
        params.api_keys = [key]
    server = xllamacpp.Server(params)
    print(f"serving on {server.listening_address}", flush=True)
    # Ends with whoever started it.
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        make(sys.argv[1])
    else:
        serve(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
