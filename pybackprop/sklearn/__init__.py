"""Estimators for scikit-learn: MLPClassifier and MLPRegressor, trained by a plan.

    from pybackprop.sklearn import MLPClassifier

    classifier = MLPClassifier(hidden_layer_sizes=(100,), random_state=0).fit(x, y)
    classifier.predict_proba(x_new)

The parameters and attributes have the names and meanings of scikit-learn's estimators of the same name, so that one
can take the other's place; docs/scikit-learn.md lists the differences.
Needs scikit-learn: pip install 'pybackprop[sklearn]'.
"""

try:
    import sklearn as _sklearn
except ImportError as error:
    raise ImportError("pybackprop.sklearn: needs scikit-learn; pip install 'pybackprop[sklearn]'") from error
if tuple(map(int, _sklearn.__version__.split(".")[:2])) < (1, 6):
    raise ImportError(
        f"pybackprop.sklearn: found scikit-learn {_sklearn.__version__}, needs 1.6 or later; "
        "pip install -U 'pybackprop[sklearn]'"
    )

from pybackprop.sklearn.classifier import MLPClassifier
from pybackprop.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
