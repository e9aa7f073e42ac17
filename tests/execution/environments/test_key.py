"""Recipes: what makes two environments the same."""

from importlib.metadata import version

import pytest

from asgard_async.execution.environments.key import Recipe, recipe_for


def test_mlflow_is_added_in_our_version_unless_named() -> None:
    assert recipe_for(["xgboost"]).requirements == (f"mlflow=={version('mlflow')}", "xgboost")
    assert recipe_for(["MLflow<3"]).requirements == ("mlflow<3",)
    assert len(recipe_for(["mlflow-skinny"]).requirements) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["numpy", "scipy"], ["scipy", "numpy"]),
        (["Scikit_Learn >= 1.5, <2"], ["scikit-learn<2,>=1.5"]),
        (["numpy", "numpy"], ["numpy"]),
        (["numpy", "pywin32; sys_platform == 'win32'"], ["numpy"]),
        (["uvicorn[Standard]"], ["uvicorn[standard]"]),
        (["numpy; python_version > '3'"], ["numpy"]),
    ],
)
def test_the_same_in_other_words(one: list[str], other: list[str]) -> None:
    assert recipe_for(one).key == recipe_for(other).key


def test_whatever_changes_the_result_changes_the_key() -> None:
    recipes = [
        recipe_for(["numpy"]),
        recipe_for(["numpy>=2"]),
        recipe_for(["numpy[extra]"]),
        recipe_for(["numpy"], index_url="http://127.0.0.1/simple"),
        recipe_for(["numpy"], extra_index_urls=["http://127.0.0.1/simple"]),
    ]
    assert len({recipe.key for recipe in recipes}) == len(recipes)
    assert all(recipe.key.isalnum() for recipe in recipes)


def test_a_recipe_is_what_it_says() -> None:
    assert isinstance(recipe_for([]), Recipe)
    assert len(recipe_for([]).requirements) == 1
