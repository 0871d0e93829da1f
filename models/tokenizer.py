"""The embedded policy's tokenizer: byte BPE with single digits, and one token per act tag."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..schemas import Inventory
from ..schemas.markup import THINK_END, THINK_START, act_end, act_start

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
_TAG = re.compile(r"<(?:Think|ACT_\w+?)_(?:Start|End)>")


def tags(inventory: Inventory) -> list[str]:
    """Every tag of the markup, in the inventory's order."""
    return [THINK_START, THINK_END, *(tag(act) for act in inventory.names for tag in (act_start, act_end))]


def train_tokenizer(
    texts: Iterable[str], inventory: Inventory | None, vocab_size: int = 512
) -> "PreTrainedTokenizerFast":
    """A fast tokenizer trained on `texts` (questions, markup), with `vocab_size` entries where they allow it.

    Without an inventory it knows no tags, and a policy that has it writes none.
    All 256 bytes are kept, so any text encodes and decodes back; numbers are cut into single digits.
    Offsets count code points. It adds `<bos>` at the start, and `save_pretrained` makes a folder that
    `AutoTokenizer` opens. Raises ValueError where the vocabulary has no room for bytes and tags.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special, added = [PAD, BOS, EOS], tags(inventory) if inventory is not None else []
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size < (least := len(special) + len(added) + len(alphabet)):
        raise ValueError(f"vocab_size {vocab_size} is below {least}: bytes and tags alone need that")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(added),
        special_tokens=special,
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator((piece for text in texts for piece in _TAG.split(text)), trainer)
    # Not "special" to the library: decoding with skip_special_tokens must keep the markup.
    tokenizer.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in added])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    make: Any = PreTrainedTokenizerFast
    wrapped: PreTrainedTokenizerFast = make(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    return wrapped


def token_id(tokenizer: "PreTrainedTokenizerBase", token: str) -> int | None:
    """The id of `token` where the tokenizer has it as one entry of its vocabulary, else None."""
    index = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(index, int) or index == tokenizer.unk_token_id:
        return None
    return index if tokenizer.convert_ids_to_tokens(index) == token else None


def knows_tags(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether a policy with this tokenizer was made to write act tags: `<Think_Start>` is one token."""
    return token_id(tokenizer, THINK_START) is not None
