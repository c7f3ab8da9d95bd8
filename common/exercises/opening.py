"""The checks of the opening notebook: what weights do to a deep network, and one norm for all."""

from __future__ import annotations

from collections.abc import Callable

from common.exercises.predictions import Number, examine_numbers
from common.exercises.trials import examine
from common.exercises.verdict import Verdict
from common.exercises.whole_norms import OverAxes

LAYERS = 20
FACTOR = "the layers come one after the other: their factors multiply."


def check_normalise(normalise: Callable) -> Verdict:
    """Check `normalise(x, axes, eps)`: x (N, C, H, W) minus mu_S, over the root of sigma_S² + eps.

    S is all that differs only along `axes`, a tuple; batch norm's and layer norm's are tried.
    """
    return examine(normalise, OverAxes("batch"), then=[OverAxes("image")])


def check_depth_prediction(prediction: Callable) -> Verdict:
    """Check `prediction() -> (values, values with norms, gradient)`, three whole numbers.

    20 layers of convolution (without bias) and ReLU, all weights halved: how many times smaller
    the last layer's outputs get, without and with a norm after each convolution, and how many
    times larger, with norms, the gradient of a convolution's weights.
    """
    asked = [
        Number(
            "how many times smaller the outputs get without norm",
            2**LAYERS,
            {
                2: "that is one layer; the next one halves what this one has halved.",
                2 * LAYERS: FACTOR,
                LAYERS: FACTOR,
                LAYERS**2: "not 20 squared: 2 stands 20 times in the product.",
                2 ** (LAYERS - 1): "all 20 layers have weights: count the factors once more.",
                2 ** (LAYERS + 1): "there are 20 layers: count the factors once more.",
                **dict.fromkeys(
                    (4**LAYERS, 2 ** (LAYERS // 2)),
                    "one layer's factor is 2, not 4 and not its root: half the weights give half "
                    "the output, and ReLU passes a factor on as it is.",
                ),
                2**24: "that is section 4's network of 24 layers: here there are 20.",
                2 ^ LAYERS: "^ is no power but a bitwise xor: 2 ** 20.",
                1: "nothing brings the values back to size where there is no norm.",
                2**-LAYERS: "that is the factor itself: how many times *smaller* is asked.",
            },
            f"{FACTOR} There are {LAYERS} of them.",
        ),
        Number(
            "how many times smaller they get with norms",
            1,
            {
                0: "times smaller: 1 stands for no change.",
                2: "the norm divides by the spread, which has halved with the values.",
                2**LAYERS: "each norm divides by the spread: what halves it is gone at once.",
            },
            "what does a norm make of values that are all half as large?",
        ),
        Number(
            "how many times larger the gradient gets with norms",
            2,
            {
                1: "the output is the same, but a step of the same length is now twice as much of "
                "the weight.",
                0.5: "the other way round: how many times *larger* is asked, and the smaller the "
                "weight, the more a change of it turns the output.",
                4: "the gradient is of the first order in the weights: the factor comes in once.",
                2**LAYERS: "what the other layers do to their weights is undone by their norms.",
                2**-LAYERS: "what the other layers do to their weights is undone by their norms.",
            },
            "f(w/2) = f(w) for every w: take the derivative of both sides.",
        ),
    ]
    return examine_numbers(prediction, asked)
