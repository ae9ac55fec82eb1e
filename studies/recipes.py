"""Study J: the published recipe for a learned density, and the one of this package.

DnCNN of 5 layers with kernels of 7 on photographs, one training each, nothing tuned.
The published recipe is the coefficients and the optimizers of
`keras_wconv.optimizers.published_optimizer`. Its rate of 1e-4 for the kernels is made
for long trainings, so it also stands here with the rate and schedule of the task.

python -m studies.recipes [--seeds N]
"""

import functools

import keras

from keras_wconv import densities
from keras_wconv.experiments import Candidate, Denoising
from keras_wconv.experiments.tasks.denoising import SmallDnCNN
from keras_wconv.optimizers import density_optimizer, published_optimizer

from . import question

START = [0.27, 0.17, 0.54]
STEPS = 1_000
network = functools.partial(SmallDnCNN, depth=5, filters=16, kernel_size=7, channels=1)


class Recipe(keras.Model):
    """A network that is trained by a recipe of its own."""

    def __init__(self, *args, recipe=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.recipe = recipe

    def get_config(self):
        # What a run is known by.
        return {**super().get_config(), "recipe": self.recipe}


class Recipes(Denoising):
    """Denoising that knows the published recipe."""

    def compile(self, model, learning_rate=None, weight_decay=None, **kwargs):
        if isinstance(model, Recipe):
            published = published_optimizer(self.steps)
            if model.recipe == "densities":
                published = density_optimizer(
                    self.optimizer(learning_rate, weight_decay),
                    published.density_optimizer,
                )
            return super().compile(model, optimizer=published, **kwargs)
        return super().compile(model, learning_rate, weight_decay, **kwargs)


def candidates():
    """Returns what is compared, for `compare`."""

    def published(hp, recipe):
        model = network(density=START, density_trainable=True)
        return Recipe(model.input, model.output, recipe=recipe)

    def ours(hp):
        return network(density=densities.Gaussian(), density_trainable=True)

    return {
        "baseline": Candidate(
            "published recipe", functools.partial(published, recipe="all")
        ),
        "proposal": Candidate("recipe of the package", ours),
        "controls": [
            Candidate(
                "published, rate of the task",
                functools.partial(published, recipe="densities"),
            ),
            Candidate("standard", lambda hp: network()),
        ],
    }


def main():
    options = question.arguments(__doc__.partition("\n")[0])
    task = Recipes.photographs(network, batch_size=8, epochs=20).with_steps(STEPS)
    question.run("recipes", task, candidates(), options.seeds)


if __name__ == "__main__":
    main()
