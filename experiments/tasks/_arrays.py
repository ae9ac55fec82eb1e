"""NumPy arrays of the examples that a user gives, and checks of them."""

import warnings

import keras
import numpy as np

_MISSING = ("None", "nan", "NaT", "<NA>")  # The last two are of pandas.


def read(source, name):
    """Returns a split as `(inputs, targets)` arrays.

    Args:
        source: a pair of inputs and targets, each anything that makes an array; or a
            finite `tf.data.Dataset`, `keras.utils.PyDataset`, PyTorch `DataLoader` or
            other iterable of such pairs, of one example or of a batch.
        name: str, the argument, for errors.
    """
    if isinstance(source, (tuple, list)) and len(source) == 2:
        inputs, targets = (array(part, name) for part in source)
    else:
        inputs, targets = _collect(source, name)
    if inputs.ndim < 1 or targets.ndim < 1 or len(inputs) != len(targets):
        raise ValueError(
            f"`{name}` must have as many targets as inputs. Received: inputs of shape "
            f"{inputs.shape} and targets of shape {targets.shape}"
        )
    if not len(inputs):
        raise ValueError(f"`{name}` must have examples. Received: an empty split")
    _check_values(inputs, f"the inputs of `{name}`")
    if targets.dtype.kind not in "OUS":
        _check_values(targets, f"the targets of `{name}`")
    elif targets.dtype.kind == "O":
        missing = [str(y) in _MISSING and not isinstance(y, str) for y in targets.flat]
        if any(missing):
            raise ValueError(
                f"the targets of `{name}` must have no gaps. Received: {sum(missing)} "
                f"that are {targets.flat[missing.index(True)]}, the first in example "
                f"{missing.index(True)}. Name them or leave their examples out."
            )
    return inputs, targets


def array(values, name):
    """Returns an array of anything that makes one."""
    if hasattr(values, "detach"):  # A PyTorch tensor, perhaps on an accelerator.
        values = values.detach().cpu()
    if hasattr(values, "numpy"):
        values = values.numpy()
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be arrays, or lists of examples of one shape. Received: "
            f"{error}"
        ) from error


def _collect(source, name):
    """Reads an iterable of pairs once."""
    is_keras = isinstance(source, keras.utils.PyDataset)
    if is_keras:
        count = source.num_batches
    else:
        count = int(getattr(source, "cardinality", lambda: 0)())
    if count in (None, -1):  # tf.data.INFINITE is -1.
        raise ValueError(
            f"`{name}` must be finite. Received: {source}, which never ends"
        )
    pairs = (
        map(source.__getitem__, range(count)) if is_keras else _iterate(source, name)
    )
    inputs, targets = [], []
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(
                f"`{name}` must yield pairs of inputs and targets, without weights. "
                f"Received: {_describe(pair)}"
            )
        x, y = (array(part, name) for part in pair)
        if y.ndim == 0:
            x, y = x[None], y[None]
        inputs.append(x)
        targets.append(y)
    if not inputs:
        raise ValueError(f"`{name}` must have examples. Received: an empty {source}")
    if not is_keras and _are_pictures(inputs, targets):
        raise ValueError(
            f"`{name}` must yield batches where targets are arrays. Received: pairs of "
            f"shapes {inputs[0].shape} and {targets[0].shape}, which look like single "
            "pictures: batch it. If they are batches, of examples as long as a batch, "
            "give arrays of all inputs and all targets instead."
        )
    if not is_keras and iter(source) is not source:
        _check_order(source, inputs[0], name)
    try:
        return np.concatenate(inputs), np.concatenate(targets)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must yield batches of examples of one shape. Received: {error}"
        ) from error


def _are_pictures(inputs, targets):
    """Returns whether each pair looks like a square picture and one as its target."""
    (shape, of_target), *others = {
        (x.shape, y.shape) for x, y in zip(inputs, targets, strict=True)
    }
    is_picture = len(shape) == 3 and shape[0] == shape[1] and shape[2] in (1, 3, 4)
    return is_picture and of_target[:2] == shape[:2] and not others


def _iterate(source, name):
    try:
        return iter(source)
    except TypeError as error:
        raise ValueError(
            f"`{name}` must be a pair of inputs and targets, or yield such pairs (a "
            "tf.data.Dataset, keras.utils.PyDataset or torch DataLoader). Received: "
            f"{_describe(source)}"
        ) from error


def _check_order(source, first, name):
    """Warns if an iterable is shuffled: a run is known by the order of its data."""
    x, y = (array(part, name) for part in next(iter(source)))
    if not np.array_equal(x if y.ndim else x[None], first):
        warnings.warn(
            f"`{name}` yields other examples first each time that it is read. Runs are "
            "known by their data: without shuffling and augmentation, the next session "
            "can go on with the runs of this one.",
            stacklevel=2,
        )


def _describe(value):
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of length {len(value)}"
    return f"{value!r} of type {type(value).__name__}"


def _check_values(values, what):
    if values.dtype.kind not in "buif":
        raise ValueError(
            f"{what} must be numbers of one shape an example. Received: an array of "
            f"dtype {values.dtype}"
        )
    if values.dtype.kind != "f":
        return
    finite = np.isfinite(values)
    if not finite.all():
        wrong = np.argwhere(~finite)
        raise ValueError(
            f"{what} must be finite. Received: {len(wrong)} values that are NaN or "
            f"infinite, the first in example {wrong[0][0]}. Replace them, or leave out "
            "their examples."
        )


def check_splits(splits):
    """Raises a ValueError if the shapes of splits, a dict of pairs, differ."""
    for part, what in enumerate(("inputs", "targets")):
        shapes = {name: pair[part].shape[1:] for name, pair in splits.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(
                f"`train`, `validation` and `test` must have {what} of one shape. "
                f"Received: {shapes}"
            )


def class_labels(splits, classes=None, class_names=None):
    """Turns the targets of splits into labels 0, 1, ...

    Args:
        splits: dict by name of `(inputs, labels)`. Labels are integers from 0, or
            strings, which are sorted.
        classes: int; by default counted.
        class_names: names of the classes, in the order of their labels.

    Returns:
        `(splits, classes, class_names)`.
    """
    flat = {name: _flat(labels, name) for name, (_, labels) in splits.items()}
    if any(labels.dtype.kind in "OUS" for labels in flat.values()):
        names = sorted(set(map(_text, flat["train"])))
        class_names = tuple(names if class_names is None else map(_text, class_names))
        if not set(names) <= set(class_names):
            raise ValueError(
                f"`class_names` must have all labels of `train`, {names[:5]}. "
                f"Received: {class_names[:5]}"
            )
        index = {label: i for i, label in enumerate(class_names)}
        for name, labels in flat.items():
            unknown = set(map(_text, labels)) - set(names)
            if unknown:
                raise _unseen(name, unknown)
            flat[name] = np.array([index[_text(label)] for label in labels])
    seen = np.unique(flat["train"])
    where = "" if classes else " in `train`"
    classes = classes or len(class_names or seen)
    for name, labels in flat.items():
        whole = labels.astype("int64")
        if (whole != labels).any() or whole.min() < 0 or (whole >= classes).any():
            few = np.unique(labels)
            raise ValueError(
                f"`{name}` must have labels that are integers from 0 to {classes - 1}, "
                f"for {classes} classes{where}. Received: labels {few[:5]}"
                f"{'...' if len(few) > 5 else ''}, up to {few.max()}. Make such labels "
                "with np.unique(labels, return_inverse=True)[1] before you split the "
                "data, or give strings."
            )
        unknown = np.setdiff1d(labels, seen)
        if len(unknown):
            raise _unseen(name, set(unknown.tolist()))
        flat[name] = whole
    splits = {name: (pair[0], flat[name]) for name, pair in splits.items()}
    return splits, classes, class_names


def _text(label):
    # TensorFlow's strings are bytes.
    return label.decode() if isinstance(label, bytes) else str(label)


def _unseen(name, labels):
    few = sorted(labels)
    return ValueError(
        f"`{name}` must have labels that `train` has: a class that was never seen "
        f"cannot be learned. Received: {len(few)} other labels, {few[:5]}"
    )


def _flat(labels, name):
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        one_hot = labels.ndim == 2 and np.isin(labels, (0, 1)).all()
        raise ValueError(
            f"`{name}` must have one label an example. Received: labels of shape "
            f"{labels.shape}"
            + (", one-hot. Give labels.argmax(-1)." if one_hot else "")
        )
    return labels


def stratified_order(labels, seed, one_of_each=True):
    """Returns all indices in an order whose first n have the classes in proportion.

    Args:
        labels: array of shape `(n,)`.
        seed: int.
        one_of_each: bool, whether one of each class comes first.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    _, classes, counts = np.unique(
        labels[order], return_inverse=True, return_counts=True
    )
    # How many examples of its class come before each one.
    rank = np.empty(len(order), int)
    grouped = np.argsort(classes, kind="stable")
    rank[grouped] = np.concatenate([np.arange(count) for count in counts])
    key = (rank + 0.5) / counts[classes]
    if one_of_each:
        key = np.where(rank == 0, 0.0, key)
    return order[np.argsort(key, kind="stable")]
