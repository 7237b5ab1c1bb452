"""BERT-base (Devlin et al. 2018) that answers questions: a sequence of 256 tokens, as the ONNX model zoo's BERT-Squad-10.

Outputs are the logits of where the answer starts and ends. Layers are named as transformers' BertForQuestionAnswering.
"""
from __future__ import annotations

import re
from typing import Any, Dict, Optional

import numpy as np
from torchvision_shim import declare_operators

from .bert import encoded
from .source import SAMPLES, SEEDED, Recipe

LENGTH = 256
FIRST_WORD, VOCABULARY = 1000, 30522
START, BREAK = 101, 102  # [CLS], [SEP]
# Not part of the outputs: the pooler, indices that are constants, and the head of pre-training.
_UNUSED = re.compile(r"(bert\.pooler\.|bert\.embeddings\.(position|token_type)_ids$|cls\.)")


def recipe(_name: str) -> Recipe:
    """Layer norm needs no calibration."""
    return Recipe(network=_network, settle=_settle, inputs=_inputs, outputs=("start_logits", "end_logits"),
                  notes=[SEEDED, "questions and texts of 40 to 254 random tokens, padded to 256"], rename=_rename)


def _settle(module: Any, seed: int) -> None:
    """Normal weights of variance 1 / fan-in (trained ones are about as wide): attention is then neither flat nor one-hot."""
    import torch

    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, (torch.nn.Linear, torch.nn.Embedding)):
                shape = tuple(child.weight.shape)
                weight = rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[1]))
                child.weight.copy_(torch.from_numpy(weight))
                if isinstance(child, torch.nn.Linear):
                    bias = rng.uniform(-0.05, 0.05, tuple(child.bias.shape))
                    child.bias.copy_(torch.from_numpy(bias.astype(np.float32)))


def _inputs(seed: int) -> Dict[str, np.ndarray]:
    """[CLS] question [SEP] text [SEP] padding."""
    rng = np.random.default_rng(seed + 2)
    ids, mask, segments = (np.zeros((SAMPLES, LENGTH), dtype=np.int64) for _ in range(3))
    for row in range(SAMPLES):
        question, end = int(rng.integers(6, 24)), int(rng.integers(40, LENGTH - 1))
        ids[row, :end] = rng.integers(FIRST_WORD, VOCABULARY, end)
        ids[row, 0], ids[row, question], ids[row, end] = START, BREAK, BREAK
        mask[row, : end + 1] = 1
        segments[row, question + 1 : end + 1] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}


def _rename(name: str) -> Optional[str]:
    if _UNUSED.match(name):
        return None
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _network() -> Any:
    declare_operators()
    import torch
    from transformers import BertConfig, BertModel

    class BertSquad(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # The defaults are BERT-base: 12 layers of 768, 12 heads, 30,522 word pieces.
            self.bert = BertModel(BertConfig(attn_implementation="eager"), add_pooling_layer=False)
            self.qa_outputs = torch.nn.Linear(768, 2)

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            embeddings = self.bert.embeddings
            # One-hot, as the original has it: a converter that tries a graph with integers of its own finds no row 7 of two.
            second, rows = token_type_ids.to(self.qa_outputs.weight.dtype)[:, :, None], embeddings.token_type_embeddings.weight
            tokens = embeddings.word_embeddings(input_ids) + (1.0 - second) * rows[0] + second * rows[1]
            embedded = embeddings.LayerNorm(tokens + embeddings.position_embeddings.weight[:LENGTH])
            logits = self.qa_outputs(encoded(self.bert, embedded, attention_mask))
            return logits[:, :, 0], logits[:, :, 1]

    return BertSquad()
