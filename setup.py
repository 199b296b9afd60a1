"""What pyproject.toml cannot say: the configs folder becomes a part of the installed package, and so do the pages."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["fastreid", "fastreid.*"]), "fastreid._configs"],
    package_dir={"fastreid._configs": "configs"},
    package_data={"fastreid._configs": ["**/*.yml"], "fastreid.visualization": ["pages/**/*"]},
)
