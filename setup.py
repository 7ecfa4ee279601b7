"""What pyproject.toml cannot say: files of config/ that the package reads by name are installed as parts of it.

In a checkout they are read where they are; ``lvdm.config.shipped`` finds both.
"""

from setuptools import find_packages, setup

SHIPPED = ("datasets", "protocols")

setup(
    packages=[*find_packages(include=["lvdm*"]), *(f"lvdm.shipped.{kind}" for kind in SHIPPED)],
    package_dir={f"lvdm.shipped.{kind}": f"config/{kind}" for kind in SHIPPED},
    package_data={"lvdm.reporting": ["*.j2", "*.css"], **{f"lvdm.shipped.{kind}": ["*.yaml"] for kind in SHIPPED}},
)
