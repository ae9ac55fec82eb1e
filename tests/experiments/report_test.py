import re

import small_tasks
from page_checker import PageChecker

from keras_wconv.experiments import compare, report


def test_report_of_a_comparison(tmp_path):
    task = small_tasks.denoising(epochs=1)
    results = compare(
        task,
        tmp_path,
        [0.5],
        seeds=(0, 1),
        arms="A,ST,B,L",
        budgets=[2, 4],
        trials=2,
    )
    report.write_comparison(results, command="keras-wconv compare --controls")
    markdown = (tmp_path / "report.md").read_text()
    verdict, _, rest = results.conclusion().partition(". ")
    assert f"**{verdict}.**" in markdown and rest in markdown
    assert "keras-wconv compare --controls" in markdown
    assert "noisy PSNR" in markdown and "Test noisy_psnr of every run: " in markdown
    for name, effect in results.effects().items():
        assert f"| {name} | {effect.formula} | {effect.mean:.3f} |" in markdown
    for name, difference in results.by_example().items():
        assert f"| {name} | {difference:.3f} |" in markdown
    assert "From 2 to 4 steps" in markdown
    figures = re.findall(r"\]\((\w+\.\w+)\)", markdown)
    assert set(figures) == {
        "effects.svg",
        "budgets.svg",
        "curves.svg",
        "pictures.png",
        "densities.svg",
    }
    for name in figures:
        assert (tmp_path / name).stat().st_size > 5_000
    checker = PageChecker()
    checker.feed((tmp_path / "report.html").read_text())
    assert not checker.open
    # The pictures are shown one version at a time.
    assert len(checker.loaded) == len(figures) - 1 + 2 * 4
    assert all(value.startswith("data:image/") for value in checker.loaded)
    assert "0.500, 1, 0.500" in markdown and "[0.5]" not in markdown
    for fact in ("Command", "Seeds: 0, 1", "Versions: python", "Machine", "Written"):
        assert f"- {fact}" in markdown
