"""A trained network as a Keras 3 model: the same layers with the same weights."""

import os
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from stainproof.config.schema import Preprocessing
from stainproof.errors import ConfigError
from stainproof.models.blocks import CustomBlock, InceptionUnit, StemUnit
from stainproof.models.network import Network

WHOLE = slice(None)


def save_keras(network: nn.Module, preprocessing: Preprocessing, path: Path) -> None:
    """Write a network as a `.keras` file.

    Its input is uint8 (n, size, size, 3), RGB, of the size in the preprocessing; its output is
    float32 (n, classes), rows sum to 1. Mean and standard deviation are part of the model.

    Raises:
        ConfigError: Keras is not installed, or the network has layers of another package.
    """
    keras = import_keras()
    logits = to_keras(network, preprocessing.size_px)
    images = keras.Input((preprocessing.size_px, preprocessing.size_px, 3), dtype="uint8")
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    standardised = keras.layers.Rescaling((1 / 255 / std).tolist(), (-mean / std).tolist())(images)
    probs = keras.layers.Softmax()(logits(standardised))
    keras.Model(images, probs).save(path)


def import_keras() -> Any:
    """Return the module keras, which computes with torch here; the files do not depend on that.

    Raises:
        ConfigError: It is not installed.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except ImportError as error:
        raise ConfigError(
            f"Keras cannot be imported here ({error}): pip install 'stainproof[keras]'"
        ) from error
    return keras


def to_keras(network: nn.Module, size_px: int) -> Any:
    """Build the same network in Keras, with copies of its weights.

    Each branch of an inception unit gets convolutions, a normalisation and a ReLU of its own, as in
    the AN2DL paper. The outputs equal those of the torch layers, which merge the convolutions of
    several branches and pool before the ReLU.

    Args:
        network: A network with stainproof's own layers.
        size_px: Height and width of the images.

    Returns:
        A Keras model from standardised images float32 (b, size, size, 3) to logits (b, classes).

    Raises:
        ConfigError: The network has layers of another package.
    """
    from keras import Input, Model

    if not isinstance(network, Network):
        raise ConfigError(
            f"Keras can hold stainproof's own networks, not {type(network).__name__}; "
            "use --runtime onnx"
        )
    images = Input((size_px, size_px, 3))
    return Model(images, _through(network, images))


def _through(module: nn.Module, x: Any) -> Any:
    """Apply the Keras equivalent of a module to a Keras tensor (b, h, w, c)."""
    from keras import layers

    match module:
        case InceptionUnit():
            return _inception(module, x)
        case CustomBlock():
            y = _through(module.units, x)
            added = y if module.skip is None else layers.Add()([y, _through(module.skip, x)])
            return y if module.skip is None else layers.ReLU()(added)
        case StemUnit():
            convolution, norm, pool, relu = module
            return reduce(lambda y, layer: _through(layer, y), (convolution, norm, relu, pool), x)
        case nn.Sequential():
            return reduce(lambda y, layer: _through(layer, y), module, x)
        case nn.Conv2d():
            return _convolved(module, x)
        case nn.BatchNorm2d() | nn.GroupNorm():
            return _normalised(module, x)
        case nn.Linear():
            weights = [_array(module.weight).T, _array(module.bias)]
            return _weighted(layers.Dense(module.out_features), weights, x)
        case nn.ReLU():
            return layers.ReLU()(x)
        case nn.MaxPool2d():
            padding = "same" if module.padding else "valid"
            return layers.MaxPooling2D(module.kernel_size, module.stride, padding)(x)
        case nn.AdaptiveAvgPool2d():
            return layers.GlobalAveragePooling2D()(x)
        case nn.Dropout():
            return layers.Dropout(module.p)(x)
        case nn.Identity() | nn.Flatten():
            return x
    raise ConfigError(f"Keras has no layer for {type(module).__name__}; use --runtime onnx")


def _inception(unit: InceptionUnit, x: Any) -> Any:
    """Apply the four branches of an inception unit, with the merged convolutions split."""
    from keras import layers

    quarter, for_small, for_large = unit.point.widths
    starts = (0, quarter, quarter + for_small, quarter + for_small + for_large)
    point, small, large = (slice(*ends) for ends in pairwise(starts))
    quarters = [slice(start, start + quarter) for start in range(0, 4 * quarter, quarter)]

    def narrow(of_point: slice) -> Any:
        of_norm = slice(of_point.start - quarter, of_point.stop - quarter)
        y = _normalised(unit.narrow_norm, _convolved(unit.point, x, of_point), of_norm)
        return layers.ReLU()(y)

    pool, pooled = unit.pooled
    branches = (
        _convolved(unit.point, x, point),
        _convolved(unit.small, narrow(small)),
        _convolved(unit.large, narrow(large)),
        _through(pooled, _through(pool, x)),
    )
    done = zip(branches, quarters, strict=True)
    return layers.Concatenate()([layers.ReLU()(_normalised(unit.norm, y, q)) for y, q in done])


def _convolved(convolution: nn.Conv2d, x: Any, outputs: slice = WHOLE) -> Any:
    """Apply a convolution, or the filters of some of its output channels."""
    from keras import layers

    weight, bias = _array(convolution.weight)[outputs], _array(convolution.bias)[outputs]
    layer = layers.Conv2D(len(bias), weight.shape[2:], padding="same")
    return _weighted(layer, [weight.transpose(2, 3, 1, 0), bias], x)


def _normalised(norm: nn.Module, x: Any, channels: slice = WHOLE) -> Any:
    """Apply a normalisation, or its part for some of the channels."""
    from keras import layers

    assert isinstance(norm, nn.BatchNorm2d | nn.GroupNorm)
    weights = [_array(norm.weight)[channels], _array(norm.bias)[channels]]
    if isinstance(norm, nn.GroupNorm):
        of_group = norm.num_channels // norm.num_groups
        layer = layers.GroupNormalization(len(weights[0]) // of_group, epsilon=norm.eps)
        return _weighted(layer, weights, x)
    weights += [_array(norm.running_mean)[channels], _array(norm.running_var)[channels]]
    return _weighted(layers.BatchNormalization(epsilon=norm.eps), weights, x)


def _weighted(layer: Any, weights: list[NDArray[np.float32]], x: Any) -> Any:
    y = layer(x)
    layer.set_weights(weights)
    return y


def _array(values: Tensor | None) -> NDArray[np.float32]:
    assert values is not None
    array: NDArray[np.float32] = values.detach().cpu().numpy()
    return array
