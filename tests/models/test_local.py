import dataclasses
import math
import random
import shutil
from pathlib import Path

import pytest
import torch
from cotmill.models.local import LocalPolicy
from cotmill.models.policy import Policy, Sample, SampleRequest
from cotmill.schemas import BadInput
from transformers import AutoModelForCausalLM, AutoTokenizer


@pytest.fixture(scope="module")
def llama(llama_folder: Path) -> LocalPolicy:
    return LocalPolicy.load(str(llama_folder), device="cpu", batch_rows=16)


@pytest.fixture(scope="module")
def gpt2(gpt2_folder: Path) -> LocalPolicy:
    return LocalPolicy.load(str(gpt2_folder), device="cpu", batch_rows=16)


@pytest.fixture(params=["llama", "gpt2"])
def policy(request: pytest.FixtureRequest) -> LocalPolicy:
    loaded: LocalPolicy = request.getfixturevalue(request.param)
    return loaded


def requests(policy: Policy, n: int = 2, **settings: object) -> list[SampleRequest]:
    questions = ["Compute 1 + 2.", "Why?", "Name 7 primes.", "x", "Compute 31 - 4 now.", "é 漢"]
    return [
        SampleRequest(policy.prompt(q), f"key {i}", n=n, max_tokens=6 + i, **settings)  # type: ignore[arg-type]
        for i, q in enumerate(questions)
    ]


def greedy_tokens(folder: Path, prompt: str, n: int) -> list[int]:
    """What transformers' own generate writes."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=n, pad_token_id=0
    )
    new: list[int] = out[0, ids.shape[1] :].tolist()
    return new


def test_samples_do_not_depend_on_the_order_of_requests(policy: LocalPolicy) -> None:
    asked = requests(policy, n=5)
    expected = policy.sample(asked)
    order = list(range(len(asked)))
    random.Random(3).shuffle(order)
    assert policy.sample([asked[i] for i in order]) == [expected[i] for i in order]


def test_equal_keys_draw_equally_and_other_keys_do_not(llama: LocalPolicy) -> None:
    [request, *_] = requests(llama, n=4)
    other = dataclasses.replace(request, key="another")
    first, second, third = llama.sample([request, request, other])
    assert first == second
    assert first != third
    assert len({s.text for s in first}) > 1


def test_more_samples_begin_with_the_fewer(llama: LocalPolicy) -> None:
    [request, *_] = requests(llama, n=6)
    [six] = llama.sample([request])
    [two] = llama.sample([dataclasses.replace(request, n=2)])
    assert [s.text for s in two] == [s.text for s in six[:2]]


def test_greedy_is_transformers_generate(
    request: pytest.FixtureRequest, llama_folder: Path, gpt2_folder: Path
) -> None:
    for name, folder in (("llama", llama_folder), ("gpt2", gpt2_folder)):
        policy: LocalPolicy = request.getfixturevalue(name)
        asked = requests(policy, n=1, temperature=0.0)
        for ask, [sample] in zip(asked, policy.sample(asked), strict=True):
            tokens = greedy_tokens(folder, ask.prompt, ask.max_tokens)
            assert sample.tokens == len(tokens)
            kept = [t for t in tokens if t not in (policy.tokenizer.eos_token_id,)]
            hidden = {policy.tokenizer.bos_token_id, policy.tokenizer.pad_token_id}
            assert sample.text == policy.tokenizer.decode([t for t in kept if t not in hidden])


def test_samples_follow_the_softmax(llama: LocalPolicy) -> None:
    """Pearson's chi-square of 4,000 first tokens at temperature 1.5; the keys are fixed."""
    n, temperature = 4000, 1.5
    prompt = llama.prompt("Compute 1 + 2.")
    policy = LocalPolicy(
        llama.model, llama.tokenizer, name=llama.name, hash=lambda: llama.hash, batch_rows=4096
    )
    [samples] = policy.sample([SampleRequest(prompt, "chi", n=n, max_tokens=1, temperature=temperature)])
    ids = llama.tokenizer(prompt, return_tensors="pt").input_ids
    with torch.inference_mode():
        p = (llama.model(ids).logits[0, -1] / temperature).softmax(-1)
    counts: dict[str, float] = {}
    expected: dict[str, float] = {}
    for s in samples:
        counts[s.text] = counts.get(s.text, 0) + 1
    hidden = {llama.tokenizer.bos_token_id, llama.tokenizer.pad_token_id, llama.tokenizer.eos_token_id}
    for i, share in enumerate(p.tolist()):
        text = "" if i in hidden else llama.tokenizer.decode([i])
        expected[text] = expected.get(text, 0) + n * share
    cells = {t: e for t, e in expected.items() if e >= 5}
    rest_e = n - sum(cells.values())
    rest_o = n - sum(counts.get(t, 0) for t in cells)
    chi2 = sum((counts.get(t, 0) - e) ** 2 / e for t, e in cells.items()) + (rest_o - rest_e) ** 2 / rest_e
    degrees = len(cells)
    assert degrees > 10
    # Wilson-Hilferty: the 99.9% quantile of chi-square.
    bound = degrees * (1 - 2 / (9 * degrees) + 3.09 * math.sqrt(2 / (9 * degrees))) ** 3
    assert chi2 < bound


def test_logprob_is_that_of_the_tokens_at_temperature_1(policy: LocalPolicy) -> None:
    asked = requests(policy, n=3, temperature=0.6)
    for ask, samples in zip(asked, policy.sample(asked), strict=True):
        for sample in samples:
            if sample.finish == "length" and "\ufffd" not in sample.text:
                joint = policy.tokenizer(ask.prompt + sample.text, return_tensors="pt").input_ids
                start = joint.shape[1] - sample.tokens
                if policy.tokenizer.decode(joint[0, start:]) != sample.text:
                    continue  # the text is cut into other tokens than those drawn
                with torch.inference_mode():
                    scores = policy.model(joint).logits[0, :-1].log_softmax(-1)
                rows = scores[start - 1 :].gather(-1, joint[0, start:, None])
                assert sample.logprob == pytest.approx(float(rows.sum()), abs=1e-3)


def test_logprobs_match_a_plain_forward(policy: LocalPolicy) -> None:
    prompts = [policy.prompt("Compute 1 + 2."), policy.prompt("Why?"), policy.prompt("x")]
    continuations = [["12 + 3 = 15.", "No", ""], ["é"], []]
    got = policy.logprobs(prompts, continuations)
    assert [len(row) for row in got] == [3, 1, 0]
    assert got[0][2] == 0.0
    for prompt, texts, scores in zip(prompts, continuations, got, strict=True):
        for text, score in zip(texts, scores, strict=True):
            head = policy.tokenizer(prompt).input_ids
            ids = torch.tensor([head + policy.tokenizer(text, add_special_tokens=False).input_ids])
            with torch.inference_mode():
                table = policy.model(ids).logits[0].log_softmax(-1)
            plain = sum(float(table[i - 1, ids[0, i]]) for i in range(len(head), ids.shape[1]))
            assert score == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize("prefix", ["", "So 1 + 2", "So  ", "é\n", "<ACT_Check_Start>So<ACT_Check_End>"])
def test_a_tag_is_cut_as_it_is_after_any_prompt(llama: LocalPolicy, prefix: str) -> None:
    tags = ["<ACT_Check_Start>", "<ACT_Check_Start> 12", "<Think_End>", "So", "<ACT_Check_Start>" + "x" * 80]
    prompt = llama.prompt("Why?", prefix)
    ids = llama.tokenizer(prompt).input_ids
    for _ in range(2):
        found = llama.cutter.continued(prompt, ids, tags)
        assert [ids + tail for tail in found] == [llama.tokenizer(prompt + tag).input_ids for tag in tags]


def test_logprobs_do_not_fit_the_context(gpt2: LocalPolicy) -> None:
    [[fits, not_]] = gpt2.logprobs(["a"], [["b", "c" * 60]])
    assert math.isfinite(fits)
    assert not_ == -math.inf


def test_stop_strings_end_a_sample_and_stay_in_it(llama: LocalPolicy) -> None:
    stops = ("e", "<ACT_Check_End>", "漢")
    plain = llama.sample(requests(llama, n=8))
    stopped = llama.sample(requests(llama, n=8, stop=stops))
    cut = 0
    for free, held in zip(plain, stopped, strict=True):
        for a, b in zip(free, held, strict=True):
            ends = [a.text.find(s) + len(s) for s in stops if s in a.text]
            assert b.text == (a.text[: min(ends)] if ends else a.text)
            if ends:
                cut += 1
                assert b.finish == "stop"
    assert cut > 3


def test_a_stop_string_over_several_tokens(gpt2: LocalPolicy) -> None:
    [[free]] = gpt2.sample([SampleRequest("abc", "k", max_tokens=30)])
    stop = next(free.text[i : i + 3] for i in range(4, 30) if "\ufffd" not in free.text[i : i + 3])
    [[held]] = gpt2.sample([SampleRequest("abc", "k", max_tokens=30, stop=(stop,))])
    assert held.text == free.text[: free.text.find(stop) + len(stop)]
    assert held.tokens < free.tokens


def test_tags_survive_and_control_tokens_do_not(llama: LocalPolicy) -> None:
    samples = llama.sample(requests(llama, n=40, temperature=3.0))
    text = "".join(s.text for row in samples for s in row)
    assert "<ACT_" in text
    assert not any(token in text for token in ("<pad>", "<bos>", "<eos>"))


def test_the_end_of_sequence_stops_a_sample(llama: LocalPolicy) -> None:
    request = SampleRequest(llama.prompt("x"), "k", n=400, max_tokens=20, temperature=3.0)
    [samples] = llama.sample([request])
    ended = [s for s in samples if s.finish == "stop"]
    assert ended
    assert all(s.tokens <= 20 for s in ended)
    assert {s.tokens for s in samples if s.finish == "length"} == {20}


def test_a_full_context_ends_a_sample_and_a_longer_prompt_is_an_error(gpt2: LocalPolicy) -> None:
    short = SampleRequest("a" * 8, "s", n=12, max_tokens=500, temperature=0.1)
    long = SampleRequest("a" * 44, "l", n=2, max_tokens=500)
    too_long = SampleRequest("a" * 48, "t", n=2, max_tokens=5)
    a, b, c = gpt2.sample([short, long, too_long])
    assert {s.tokens for s in a if s.finish == "length"} <= {40}
    assert {s.tokens for s in b if s.finish == "length"} <= {4}
    assert [s.finish for s in c] == ["error", "error"]
    assert c[0] == Sample("", 0, "error", error="a prompt of 48 tokens in a context of 48")


def test_an_empty_prompt_without_a_start_token_is_an_error(gpt2: LocalPolicy) -> None:
    [[sample]] = gpt2.sample([SampleRequest("", "k")])
    assert sample.finish == "error"


def test_no_requests(llama: LocalPolicy) -> None:
    assert llama.sample([]) == []
    assert llama.logprobs([], []) == []


def test_prompts(llama: LocalPolicy, gpt2: LocalPolicy, llama_folder: Path) -> None:
    assert llama.writes_tags
    assert not gpt2.writes_tags
    assert llama.prompt("Why?") == "Why?\n<Think_Start>"
    assert llama.prompt("Why?", "<Think_Start><ACT_Plan_Start>") == "Why?\n<Think_Start><ACT_Plan_Start>"
    assert llama.prompt("<ACT_Plan_Start>") == "<\\ACT_Plan_Start>\n<Think_Start>"
    assert gpt2.prompt("Why?", "Because") == "Why?\n\nBecause"
    tokenizer = AutoTokenizer.from_pretrained(llama_folder)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    chat = LocalPolicy(llama.model, tokenizer, name="chat", hash=lambda: "h")
    assert chat.prompt("Why?") == "<bos>[user] Why?\n[assistant] <Think_Start>"
    [[sample]] = chat.sample([SampleRequest(chat.prompt("Why?"), "k", max_tokens=3, temperature=0)])
    ids = tokenizer(chat.prompt("Why?"), add_special_tokens=False, return_tensors="pt").input_ids
    assert ids[0].tolist().count(tokenizer.bos_token_id) == 1
    with torch.inference_mode():
        first = int(llama.model(ids).logits[0, -1].argmax())
    assert sample.text.startswith(tokenizer.decode([first]))


def test_name_and_hash_are_the_contents(llama_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed"
    shutil.copytree(llama_folder, copy)
    one, two = LocalPolicy.load(str(llama_folder)), LocalPolicy.load(str(copy))
    assert (one.name, two.name) == ("tiny-llama", "renamed")
    assert one.hash == two.hash
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert LocalPolicy.load(str(copy)).hash != one.hash


def test_unreadable_folders_are_named(tmp_path: Path, llama_folder: Path) -> None:
    with pytest.raises(BadInput, match=str(tmp_path)):
        LocalPolicy.load(str(tmp_path))
    broken = tmp_path / "broken"
    shutil.copytree(llama_folder, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(BadInput, match="broken"):
        LocalPolicy.load(str(broken))
    with pytest.raises(BadInput, match="no/such/folder"):
        LocalPolicy.load("no/such/folder")
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="cuda"):
            LocalPolicy.load(str(llama_folder), device="cuda")
    with pytest.raises(BadInput, match="quantum"):
        LocalPolicy.load(str(llama_folder), device="quantum")
