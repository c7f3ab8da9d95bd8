"""What an error in the learner's code usually means."""

from __future__ import annotations

import re

_SHAPES = "two shapes do not fit each other: they are lined up from the last axis backwards. "
_PER_CHANNEL = (
    "Keep the reduced axes with keepdim=True, and give a value per channel the shape "
    "(1, C, 1, 1), which is what gamma.view(1, -1, 1, 1) does."
)
_FIT = {
    "batch": _PER_CHANNEL,
    "channels": _PER_CHANNEL,
    "group": (
        "Keep the reduced axes with keepdim=True. And gamma and beta fit x only once it is back in "
        "the shape (N, C, H, W): there they need the shape (1, C, 1, 1)."
    ),
    "image": (
        "Keep the reduced axes with keepdim=True. Gamma and beta have the shape (C, H, W) of the "
        "last axes and fit as they are."
    ),
    "network": "Print both .shape before it.",
    "tokens": (
        "Keep the reduced axis with keepdim=True. What has the shape (D,) of the last axis fits as "
        "it is."
    ),
}
_KEEP = "Keep the reduced axes where the mean is subtracted: x.mean(…, keepdim=True)."
_ALREADY = (
    "The views in the line that failed are right for x of shape (N, C, H, W). Has the mean or the "
    "variance lost its axes (keepdim=True keeps them), or has x̂ another shape there? (torch.cat "
    "joins along axis 0 unless it is told dim=1.) Print each .shape before it."
)
_VIEWED = re.compile(r"\w+(\.view\(1, -1, 1, 1\)|\[None, :, None, None\])")
_CUTS = {
    "group": "cut C, not another axis: x.reshape(n, groups, c // groups, h, w).",
}
_NORMALIZED_SHAPE = {
    "channels": (
        "F.layer_norm averages over the last axes, and C is none of them: x.permute(0, 2, 3, 1) "
        "first, then normalized_shape is (C,), and permute back in the end."
    ),
    "tokens": "on tokens S is the last axis alone: normalized_shape is x.shape[-1:], that is (D,).",
}
_OF_MATRICES = (
    "that is a product of matrices, which multiplies and adds up (@, matmul, dot): * multiplies "
    "value by value."
)
_PRODUCT = re.compile(r" @ |\.?\b(matmul|mm|bmm|dot|mv)\(")
_AXES_ONE_BY_ONE = re.compile(r"(mean|sum|var|std)\((\w+, ?)?-?\d, ?-?\d")
_NAMES = "keep the stub's arguments, their names and their order."

_ERRORS = [
    (
        ("cannot be multiplied", "1D tensors expected", "size mismatch, got", "of batch2"),
        _OF_MATRICES,
    ),
    (
        ("view size is not compatible",),
        "what is viewed does not lie in memory in the order of its axes (after permute or "
        "transpose, or in channels_last): use .reshape(), which copies where .view() gives up.",
    ),
    (
        ("in-place operation", "inplace operation"),
        "a tensor is changed in place (-=, /=, .sub_(), …) although the gradient still needs it: "
        "make a new one.",
    ),
    (("same device",), "wrong device: make new tensors where x lives, with device=x.device."),
    (
        ("not differentiable with respect to argument",),
        "PyTorch's function takes running_mean and running_var for constants: they cannot be the "
        "batch's own, through which gradients flow. training=True lets it take these itself.",
    ),
    (
        ("same dtype", "expected scalar type", "dtypes to match"),
        "wrong dtype: make new tensors, and layers, with dtype=x.dtype.",
    ),
    (("numpy",), "stay with PyTorch's tensors: numpy cannot carry a gradient."),
    (
        ("oolean value of Tensor", "only one element tensors", "only integer tensors of a single"),
        "a whole tensor stands where a single number is needed.",
    ),
    (
        ("invalid combination of arguments", "unexpected keyword"),
        "an argument that this function does not have: compare its names with the ones it knows.",
    ),
    (
        ("but got float", "'float' object cannot be interpreted"),
        "a length or an index must be a whole number: divide with //, not with /.",
    ),
    (
        ("stack expects each tensor",),
        "the parts are not of one size: is the right axis cut? (In group norm it is each image's "
        "channels, dim=1.) torch.cat joins parts of any size along an axis they have.",
    ),
    (
        ("is not callable",),
        "brackets () call a function, and this is none: self.training and x.shape, for one, are "
        "used without them.",
    ),
    (
        ("divisible by num_groups",),
        "the number of groups must divide that of the channels: are the two swapped? It is "
        "nn.GroupNorm(num_groups, num_channels) and F.group_norm(x, num_groups, …).",
    ),
    (
        ("eps must be positive",),
        "PyTorch's layer refuses an eps of 0: with 1e-12 the numbers are the same.",
    ),
    (
        ("should contain", "vector of size equal to the number of channels"),
        "that layer or tensor is made for another number of channels: in x of shape (N, C, H, W) "
        "C is x.shape[1].",
    ),
    (
        ("does not have a grad_fn",),
        "nothing records a gradient here: is it under no_grad, or detached, or is all frozen? A "
        "tensor handed over records none unless asked, x.detach().requires_grad_().",
    ),
    (
        ("tensor of dimension 0", "0-d tensor", "0-dim tensor"),
        "a tensor without axes, a single number, has nothing to be indexed: ask its .dim() first.",
    ),
    (
        ("values to unpack",),
        "what is taken apart there has another number of parts: print one of them first.",
    ),
    (
        ("out of bounds", "out of range for"),
        "an index goes beyond the length of its axis: is it the right axis? Print its .shape.",
    ),
    (
        ("doesn't match the broadcast shape",),
        "what is changed in place keeps its shape, and here more axes are put into it: without "
        "keepdim, or after .flatten(), they fit.",
    ),
    (("bitwise_xor",), "^ is no power but a bitwise xor: x ** 2 or x.square()."),
    (
        ("must be defined in evaluation mode",),
        "F.batch_norm takes the batch's own statistics only with training=True.",
    ),
    (
        ("floating point and complex dtype can require",),
        "whole numbers get no gradient: is it torch.tensor(shape), the lengths themselves, where "
        "torch.ones(shape) is meant?",
    ),
    (
        ("Missing key", "Unexpected key"),
        "the state to load needs all its names and no others: begin with dict(state).",
    ),
    (("of 'super' object",), "brackets are missing: super().__init__()."),
    (("item assignment",), "a tuple or a number cannot be changed in a part: make a new one."),
    (
        ("'int' object has no attribute", "'float' object has no attribute"),
        "a number stands where a tensor belongs: are the arguments in another order, or has "
        ".item() made it one?",
    ),
    (
        ("'NoneType' object",),
        "it is None there: what works in place (random.shuffle, list.append) and what has no "
        "return line gives nothing back.",
    ),
    (
        ("list index out of range", "pop from empty list"),
        "a list is shorter there than the line takes for granted, or empty: print its len().",
    ),
    (
        ("Given normalized_shape",),
        "F.layer_norm averages over the last axes: first bring there what it is to average over "
        "(permute), and take it back afterwards.",
    ),
    (
        ("before Module.__init__",),
        "super().__init__() comes first in __init__: only then can a layer hold parameters.",
    ),
    (
        ("as parameter '",),
        "a plain tensor cannot take a parameter's place: under torch.no_grad() its values go in by "
        ".copy_(…), and a whole state by load_state_dict.",
    ),
    (
        ('missing the required "forward"',),
        "the method must be called forward, and be indented as a part of the class.",
    ),
    (
        ("must be Tensor, not list", "must be Tensor, not tuple", "'list' object has no attribute"),
        "a list stands where a tensor belongs: torch.tensor(…) makes one of numbers, torch.cat(…) "
        "or torch.stack(…) one of tensors.",
    ),
    (
        (
            "sqrt(): argument 'input' (position 1) must be Tensor, not float",
            "sqrt(): argument 'input' (position 1) must be Tensor, not int",
        ),
        "torch.sqrt takes a tensor, and a plain number stands there: has .item() made it one, or "
        "is it still the number that it was set to at first?",
    ),
    (
        ("must be Tensor, not", "must be int, not", "must be float, not", "must be tuple of ints"),
        "the arguments are in another order than that function's, or one is missing: give them by "
        "name (weight=…, bias=…, eps=…).",
    ),
    (
        ("not implemented for 'Long'", "not implemented for 'Int'", "Input type (long"),
        "whole numbers (labels, say) stand where others belong: are two arguments swapped?",
    ),
    (
        ("must be larger than 0", "division by zero", "modulo by zero", "must not be zero"),
        "a number becomes 0 there that counts or divides: // gives 0 where the divisor is larger. "
        "max(1, …) is at least 1.",
    ),
    (
        ("Dimension out of range", "dim out of range"),
        "an axis is asked for that the tensor does not have: print its .shape in the line before. "
        "Or is it a length? Axes are counted, x.mean((1, 2, 3)), and a shape holds lengths.",
    ),
]


def hint_for(error: Exception, line: str, layout: str, ask: str, affine: bool = True) -> str:
    """What usually causes an error like this one.

    line: the learner's line that it comes from, "" if it is none of theirs. layout: of the
    exercise; affine: whether it has gamma and beta. ask: what to try in order to see more, as in
    "call your function on …".
    """
    text = str(error)
    if any(w in text for w in ("must match the size", "not broadcastable", "must match the exist")):
        if _PRODUCT.search(line):
            return _OF_MATRICES
        if layout == "network" and re.search(r"running_.*(mean|var)\(", line):
            return (
                "each norm has statistics of its own channels, those of what reaches it: behind a "
                "convolution that is no longer the images. Run these through the network."
            )
        rest, views = _VIEWED.subn("", line)
        already = views and not re.search(r"\b(gamma|beta|weight|bias)\b", rest)
        already = already and layout in ("batch", "channels", "group")
        return _SHAPES + (_ALREADY if already else _FIT[layout] if affine else _KEEP)
    indexed = isinstance(error, IndexError) and "tensor of dimension 0" not in text
    if indexed and re.search(r"\[.*\blist\(", line):
        return (
            "list(…) of a tensor is a list of tensors, which stands for one index an axis: index "
            "with the tensor itself, or with its .tolist()."
        )
    if isinstance(error, TypeError) and _AXES_ONE_BY_ONE.search(line):
        return "several axes are one argument, a tuple: x.mean((1, 2)), not x.mean(1, 2)."
    if "values to unpack" in text and re.search(r"\.(shape|size\(\))", line):
        axes = "(B, T, D)" if layout == "tokens" else "(N, C, H, W)"
        return f"a shape has as many parts as its tensor has axes: x has {axes} here."
    if re.match(r"Line \d+ of [^:]*: (assert|raise)\b", line):
        return (
            "that is an assert or a raise of your own. Either it has found a mistake in the lines "
            "before, or it refuses an input that the exercise allows."
        )
    if "is not callable" in text and re.search("Tensor|Parameter|float|int", text):
        return "a number or a tensor is called like a function: is a * missing before a bracket?"
    if "oolean value of Tensor" in text and re.search(r"nn\.\w+Loss\(", line):
        return (
            "nn.…Loss is a class: first an object, then the call, nn.CrossEntropyLoss()(z, y). "
            "Or F.cross_entropy(z, y)."
        )
    if "only one element" in text and "math." in line:
        return "math works on single numbers: torch.sqrt, torch.exp, … work on whole tensors."
    if "same shape as normalized_shape" in text:
        return _NORMALIZED_SHAPE.get(
            layout, "normalized_shape is that of the last axes alone, without N: x.shape[1:], say."
        )
    if "leaf Variable" in text and layout == "network":
        return (
            "a parameter is changed in place while the gradient is recorded: do it under "
            "torch.no_grad(), which leaves the parameter what it is."
        )
    # Only a call of ours, not one inside the learner's code, says that the stub's are missing.
    if isinstance(error, TypeError) and not line and "argument" in text:
        return _NAMES
    if "invalid combination of arguments" in text and (hint := _of_arguments(text, line)):
        return hint
    if "to the number of channels" in text and layout == "tokens":
        return (
            "that function takes axis 1 for the channels, and in (B, T, D) that is T: "
            "F.layer_norm averages over the last axes."
        )
    for words, hint in _ERRORS:
        if any(word in text for word in words):
            return hint
    if "is invalid for input of size" in text:
        cut = _CUTS.get(
            layout,
            "the lengths must multiply to the number of values. Take them from x.shape, and write "
            "−1 for one that follows from the others.",
        )
        return f"the shape asked for does not hold the values: {cut}"
    if isinstance(error, KeyError) and isinstance(error.args[0], str):
        return "there is no such name in it: print them all, list(state), say, and compare."
    if isinstance(error, UnboundLocalError):
        name = getattr(error, "name", None) or [*text.split("'"), ""][1]
        return (
            f"{name} is assigned to in this function, which makes it the function's own, and it "
            f"has no value yet: give it one first, or write self.{name} if the layer's is meant."
        )
    if isinstance(error, NameError):
        return _without_self(error) or (
            "a name is not defined there: a slip of the pen, or a cell that has not been run."
        )
    if isinstance(error, AttributeError):
        return "the object has no such attribute: a slip of the pen, or something never assigned."
    if isinstance(error, RecursionError):
        return "the function calls itself, and no call ends it."
    return f"{ask} to see where it stops."


def _of_arguments(text: str, line: str) -> str:
    """The hint for arguments of the wrong kind; else ""."""
    if re.search(r"\bnp\.|\bnumpy\.", line):
        return "stay with PyTorch's own functions, x.mean(axes, keepdim=True), not np.mean(x, …)."
    if re.search(r"\.(mean|sum|var|std)\(\s*\*", line) or re.search(r"\(x, \*", line):
        return "the axes are one argument, and the star takes them apart: x.mean(axes, …)."
    if "ddof" in line:
        return "numpy's ddof is PyTorch's correction: x.var(axes, correction=0, keepdim=True)."
    if re.search(r"got \((list|tuple), (Parameter|Tensor)", text):
        return "a list stands where a single tensor belongs: loop over it, one batch at a time."
    return ""


def _without_self(error: NameError) -> str:
    """The hint for a name that the learner's object has, or that only its __init__ knows."""
    traced = error.__traceback__
    while traced is not None and traced.tb_next is not None:
        traced = traced.tb_next
    owner = traced.tb_frame.f_locals.get("self") if traced else None
    name = getattr(error, "name", None)
    if owner is None or not name:
        return ""
    if hasattr(owner, name):
        return f"{name} is not defined there, but self.{name} is: is self. missing?"
    made_by = getattr(type(owner).__init__, "__code__", None)
    if made_by and name in made_by.co_varnames:
        return (
            f"{name} is known in __init__ alone: keep it there, self.{name} = {name}, and use "
            f"self.{name}."
        )
    return ""
