import keras
import pytest

from keras_wconv import applications

PROFILES = {3: [0.8], 7: [0.25, 0.15, 0.55]}


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="takes long, but for the meta device of PyTorch",
)
@pytest.mark.parametrize(
    "density",
    [None, 0.8, {3: [0.8], (3, 7, 7): [PROFILES[3], PROFILES[7], PROFILES[7]]}],
)
def test_counts(counts, density):
    assert counts(applications.R3D18, density=density) == (33_371_472, 9_600)


def test_stem_has_a_density_of_its_own_per_axis():
    model = applications.R3D(
        (1,),
        filters=(2,),
        density={3: [0.8], (3, 7, 7): [PROFILES[3], PROFILES[7], PROFILES[7]]},
    )
    stem = model.get_layer("conv1_conv")
    assert stem.strides == (1, 2, 2)
    assert [len(profile) for profile in stem.density_profiles] == [3, 7, 7]
    assert stem.density_map[0, 0, 3] == pytest.approx(0.8 * 0.25)
    assert model.get_layer("conv1_bn").output.shape == (None, 16, 56, 56, 2)


def test_a_density_that_fits_no_stem_leaves_it_plain():
    model = applications.R3D((1,), filters=(2,), density=[0.8])
    assert type(model.get_layer("conv1_conv")) is keras.layers.Conv3D
    assert model.get_layer("conv2_block1_1_conv").density is not None


def test_dict_without_the_kernel_of_the_stem():
    with pytest.raises(ValueError, match=r"lacks \(3, 7, 7\)"):
        applications.R3D((1,), filters=(2,), density={3: [0.8]})
