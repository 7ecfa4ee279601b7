"""Whether a finished demo is what it must be: reconstructions that are seen, samples that are no noise.

python tests/demo/check_demo.py RESULTS [DATASET]
"""

import sys
from pathlib import Path

import pandas as pd

LEAST_PSNR = 25.0  # dB, held-out reconstructions
MOST_OF_NOISE = 0.25  # distance of the generated clips to the real ones, as a share of the noise row's


def check(table: pd.DataFrame) -> list[str]:
    """What is wrong with a results table (rows of results/tables/{dataset}.csv), a line each."""
    problems = []
    psnr = table.loc[table.metric == "psnr", "value"]
    if psnr.empty or not (psnr >= LEAST_PSNR).all():
        problems.append(f"held-out PSNR is {psnr.tolist()} dB, at least {LEAST_PSNR} is needed")
    distances = table[table.metric.str.contains("distance")]
    for (detector, metric), rows in distances.groupby(["detector", "metric"]):
        noise = rows.loc[rows.model == "noise", "value"]
        generated = rows.loc[~rows.model.isin(["real", "train", "noise"]), "value"]
        if noise.empty or generated.empty:
            problems.append(f"{metric} on {detector}: no row of the noise, or none of a sampler")
        elif not (generated <= MOST_OF_NOISE * noise.item()).all():
            problems.append(f"{metric} on {detector}: {generated.tolist()}, but noise has {noise.item()}")
    if distances.empty:
        problems.append("no distance in the table")
    return problems


def main() -> None:
    """Exit with a message when the demo failed."""
    results = Path(sys.argv[1])
    dataset = sys.argv[2] if len(sys.argv) > 2 else "demo"
    table = results / "tables" / f"{dataset}.csv"
    # Rows without a value are empty there; everywhere else an empty cell is an empty text.
    problems = check(pd.read_csv(table, keep_default_na=False, na_values={"value": [""]}))
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
