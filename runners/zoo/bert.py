"""BERT's encoder written out for sequences of one length: what both BERT models export."""
from __future__ import annotations

from typing import Any


def encoded(bert: Any, embedded: Any, attention_mask: Any) -> Any:
    """Hidden states of the last layer, batch × length × width, with the layers of transformers' BertModel `bert`.

    The library's own code is the same arithmetic, but asks tensors for their sizes; several importers lack what that exports
    (Shape, Gather, Concat into Reshape), and what its mask code does. `embedded`: after the embeddings' norm; `attention_mask`:
    1 for tokens, 0 for padding.
    """
    import torch

    length, width = int(embedded.shape[1]), bert.config.hidden_size
    heads = bert.config.num_attention_heads
    size = width // heads
    additive = (1.0 - attention_mask.to(embedded.dtype)[:, None, None, :]) * -10000.0

    def by_head(rows: Any) -> Any:
        return rows.view(-1, length, heads, size).transpose(1, 2)

    hidden = embedded
    for layer in bert.encoder.layer:
        own = layer.attention.self
        query, key, value = by_head(own.query(hidden)), by_head(own.key(hidden)), by_head(own.value(hidden))
        weights = torch.softmax(torch.matmul(query, key.transpose(-1, -2)) * size ** -0.5 + additive, -1)
        context = torch.matmul(weights, value).transpose(1, 2).reshape(-1, length, width)
        attended = layer.attention.output(context, hidden)
        hidden = layer.output(layer.intermediate(attended), attended)
    return hidden
