import pytest

from keras_wconv import applications

TimeSeriesResNet = applications.TimeSeriesResNet


@pytest.mark.parametrize(
    "density", [None, 0.7, {8: [0.2, 0.5, 0.8], 5: [0.2, 0.8], 3: [0.7]}]
)
def test_counts(counts, density):
    assert counts(TimeSeriesResNet, density=density) == (504_258, 506_818 - 504_258)


def test_the_even_kernel_has_two_middle_taps():
    model = TimeSeriesResNet((2,), density={8: [0.2, 0.5, 0.8], 5: None, 3: None})
    profile = model.get_layer("block1_conv1").density_profiles[0]
    assert profile.tolist() == [0.2, 0.5, 0.8, 1, 1, 0.8, 0.5, 0.2]


def test_shortcuts():
    names = [layer.name for layer in TimeSeriesResNet((2, 3, 3)).layers]
    shortcuts = [name for name in names if "shortcut" in name]
    assert shortcuts == [
        "block1_shortcut_conv",
        "block1_shortcut_bn",
        "block2_shortcut_conv",
        "block2_shortcut_bn",
        "block3_shortcut_bn",
    ]


def test_dict_that_lacks_sizes():
    with pytest.raises(ValueError, match="lacks 5, 8"):
        TimeSeriesResNet((2,), density={3: [0.7]})
