"""The attention weights of a vision transformer, also where it never forms them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from lookcloser.core.errors import LookcloserError

_SOFTMAX: tuple[Callable[..., Tensor], ...] = (F.softmax, torch.softmax, torch.Tensor.softmax)
_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)


class AttentionWeights(TorchFunctionMode):
    """Inside the block, ``see`` gets the weights (B, heads, M, N) of each attention of this thread.

    Fused attention (`scaled_dot_product_attention`, `nn.MultiheadAttention`) is computed with its
    weights written out; a softmax over four dimensions is taken as attention. What ``see`` returns
    is used in place of the weights. The network itself is not changed.
    """

    def __init__(self, see: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.see = see

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``func``; where it is an attention, with its weights shown."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)[0]
        if func is F.multi_head_attention_forward:
            return self._multi_head(_MULTI_HEAD.bind(*args, **kwargs))
        result = func(*args, **kwargs)
        if func in _SOFTMAX and result.ndim == 4:
            return self.see(result).clone()  # what follows in place must not reach the weights
        return result

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any
    ) -> tuple[Tensor, Tensor]:
        # With the identity for values the function itself puts out its weights: mask, scale and
        # causality are right by construction.
        tokens = key.shape[-2]
        identity = torch.eye(tokens, dtype=key.dtype, device=key.device)
        identity = identity.expand(*key.shape[:-2], tokens, tokens)
        weights = self.see(F.scaled_dot_product_attention(query, key, identity, *rest, **options))
        groups = weights.shape[-3] // value.shape[-3]  # grouped queries share a head of values
        return weights @ value.repeat_interleave(groups, dim=-3).to(weights.dtype), weights

    def _multi_head(self, call: inspect.BoundArguments) -> tuple[Tensor, Tensor | None]:
        call.apply_defaults()
        given = call.arguments
        masked = any(given[name] is not None for name in ("attn_mask", "key_padding_mask"))
        if masked or given["bias_k"] is not None or given["in_proj_weight"] is None:
            raise LookcloserError(
                "nn.MultiheadAttention with a mask, or with keys of another kind: its weights are "
                "not seen",
                fix="Use gradcam",
            )
        weight, bias = given["in_proj_weight"].chunk(3), given["in_proj_bias"]
        biases = (None, None, None) if bias is None else bias.chunk(3)
        heads = []  # of queries, keys and values, (B, heads, tokens, width of a head) each
        for name, w, b in zip(("query", "key", "value"), weight, biases, strict=True):
            tokens = F.linear(given[name], w, b)  # (tokens, B, width)
            tokens = tokens.reshape(*tokens.shape[:2], given["num_heads"], -1)
            heads.append(tokens.permute(1, 2, 0, 3))
        mixed, weights = self._attend(*heads)
        mixed = mixed.permute(2, 0, 1, 3).flatten(2)
        output = F.linear(mixed, given["out_proj_weight"], given["out_proj_bias"])
        if not given["need_weights"]:
            return output, None
        return output, weights.mean(dim=1) if given["average_attn_weights"] else weights
