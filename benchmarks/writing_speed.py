"""Writing with the cache, against `generate` of Hugging Face's transformers on a model of the same shape.

    python benchmarks/writing_speed.py [--tokens 200] [--rounds 10]        about 2 minutes

gpt-tiny and a Llama of the same width, depth, heads, vocabulary and inner width, with random weights, by turns in one
process: one text, the likeliest token each time, both with their cache, in single precision. Beside it, that the text
is the same with and without the cache.

Wanted: at least as many tokens a second.
"""

from __future__ import annotations

import argparse
import statistics
import time

from pervade.core import runtime

runtime.prepare()

import torch
import transformers

from pervade.core import registry
from pervade.core.contracts import Tokens
from pervade.nn.sampling import Sampling
from pervade.tasks.language_model import write

VOCABULARY, LENGTH, PROMPT = 4096, 256, 16


def main(count: int, rounds: int) -> None:
    cls, fields = registry.find("model", "gpt-tiny")
    torch.manual_seed(0)
    spec = cls(**fields)
    ours = spec.build(Tokens(VOCABULARY, LENGTH, pooled=False, causal=True), {"logits": VOCABULARY}).eval()
    inner = ours.body.blocks[0].feed.out.in_features
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=spec.width,
        num_hidden_layers=spec.depth,
        num_attention_heads=spec.heads,
        intermediate_size=inner,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=True,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    own, other = (sum(p.numel() for p in each.parameters()) for each in (ours, theirs))
    prompt = torch.randint(0, VOCABULARY, (1, PROMPT)).tolist()[0]
    sampling = Sampling(length=count, temperature=0)

    def pervade_side() -> int:
        return len(list(write(ours, prompt, sampling, end=-1)))

    def transformers_side() -> int:
        with torch.inference_mode():
            found = theirs.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, PROMPT, dtype=torch.long),
                max_new_tokens=count,
                min_new_tokens=count,
                do_sample=False,
                pad_token_id=0,
            )
        return int(found.shape[1]) - PROMPT

    rates: dict[str, list[float]] = {"Pervade": [], "transformers generate": []}
    for number in range(rounds + 1):  # the first warms up
        sides = [("Pervade", pervade_side), ("transformers generate", transformers_side)]
        for name, side in sides if number % 2 else sides[::-1]:
            began = time.perf_counter()
            made = side()
            if number:
                rates[name].append(made / (time.perf_counter() - began))
    print(f"{own:,} weights and {other:,}; {count} tokens after {PROMPT}\n")
    print("| side | tokens/s, median (least to most) |\n|---|---|")
    for name, each in rates.items():
        print(f"| {name} | {statistics.median(each):.0f} ({min(each):.0f} to {max(each):.0f}) |")
    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
    middle = statistics.median(ratios)
    verdict = "met" if middle >= 1 else "**missed**"
    print(f"\n**{middle:.2f}** times as many ({min(ratios):.2f} to {max(ratios):.2f}); wanted 1: {verdict}")
    text = list(prompt)
    with torch.inference_mode():
        for _ in range(count):
            text.append(int(ours(torch.tensor([text[-LENGTH:]]))["logits"][0, -1].argmax()))
    same = text[PROMPT:] == list(write(ours, prompt, sampling, end=-1))
    print(f"the same text with and without the cache: {same}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    main(arguments.tokens, arguments.rounds)
