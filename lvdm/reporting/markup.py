"""The results table as Markdown and as LaTeX."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import pandas as pd

from lvdm.reporting.blocks import Cell, Column, Line, Part, blocks, legend, provenance, reconstructions

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↓": r"$\downarrow$", "↑": r"$\uparrow$",
    "∞": r"$_\infty$", "±": r"$\pm$", "–": "--", "é": r"\'e", "“": "``", "”": "''",
}  # fmt: skip

# A table that is wider than the text is scaled down to it; a narrow one keeps its size.
_RESIZE = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def markdown_page(rows: pd.DataFrame, dataset: str) -> str:
    """The readable version of a results table, see ``tables.join``."""
    parts = [f"# {dataset}"]
    for block in blocks(rows):
        parts += [f"## Protocol {block.protocol}", *map(_markdown, block.parts)]
        remarks = [f"- **Warning:** {line}" for line in block.warnings] + [f"- {line}" for line in block.remarks]
        parts += ["\n".join(remarks)] * bool(remarks)
    parts.append("\n".join(f"- {line}" for line in [*legend(rows), *provenance(rows)]))
    quality = reconstructions(rows)
    if quality:
        parts += ["## Autoencoder", _markdown(quality)]
    return "\n\n".join(parts) + "\n"


def latex_page(rows: pd.DataFrame, dataset: str) -> str:
    """The same for a paper, in the style of booktabs: a table a protocol, with a tabular a detector."""
    parts = [f"% Results of {dataset}. In the preamble: \\usepackage{{booktabs,graphicx}}"]
    for block in blocks(rows):
        title = f"Scores of {dataset} under protocol {block.protocol}."
        notes = [*(f"Warning: {line}" for line in block.warnings), *block.remarks, *legend(rows)]
        parts.append(_latex_table(block.parts, title, f"tab:{dataset}-{block.protocol}", notes))
    quality = reconstructions(rows)
    if quality:
        title = f"Reconstructions of the autoencoder of {dataset}."
        parts.append(_latex_table([quality], title, f"tab:{dataset}-autoencoder", []))
    parts += [f"% {line}" for line in provenance(rows)]
    return "\n\n".join(parts) + "\n"


def latex(text: str) -> str:
    """Text with everything escaped that LaTeX would take for a command."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found[0]], text)


def _markdown(part: Part) -> str:
    table = pd.DataFrame(
        [[_marked(line), *map(_markdown_cell, line.cells)] for line in part.lines],
        columns=[part.corner, *map(_heading, part.columns)],
    )
    return table.to_markdown(index=False, disable_numparse=True, colalign=["left"] + ["right"] * len(part.columns))


def _heading(column: Column) -> str:
    return f"{column.label} {column.better}".rstrip()


def _marked(line: Line) -> str:
    name = line.name.replace("|", r"\|")
    return f"{name} (published)" if line.kind == "published" else name


def _markdown_cell(cell: Cell) -> str:
    value = f"{cell.value} ± {cell.spread}" if cell.spread else cell.value
    value = f"**{value}**" if cell.best else value
    return f"{value} [{cell.interval[0]}, {cell.interval[1]}]" if cell.interval else value


def _latex_table(parts: Sequence[Part], title: str, label: str, notes: list[str]) -> str:
    below = f"  \\par\\smallskip\\raggedright\\footnotesize {' '.join(map(latex, notes))}"
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{latex(title)}}}",
            f"  \\label{{{label}}}",
            "\n  \\par\\medskip\n".join(map(_tabular, parts)),
            *[below] * bool(notes),
            r"\end{table}",
        ]
    )


def _tabular(part: Part) -> str:
    return "\n".join(
        [
            f"  {_RESIZE}",
            f"  \\begin{{tabular}}{{l{'r' * len(part.columns)}}}",
            *(f"    {line}" for line in _latex_lines(part)),
            r"  \end{tabular}}",
        ]
    )


def _latex_lines(part: Part) -> Iterator[str]:
    yield r"\toprule"
    yield _row(latex(part.corner), (latex(_heading(column)) for column in part.columns))
    for _, lines in groupby(part.lines, key=lambda line: line.kind):
        yield r"\midrule"
        for line in lines:
            mark = r"$^\dagger$ (published)" if line.kind == "published" else ""
            yield _row(latex(line.name) + mark, map(_latex_cell, line.cells))
    yield r"\bottomrule"


def _row(name: str, cells: Iterable[str]) -> str:
    return " & ".join([name, *cells]) + r" \\"


def _latex_cell(cell: Cell) -> str:
    value = _power(cell.value) + (f" \\pm {_power(cell.spread)}" if cell.spread else "")
    value = f"$\\mathbf{{{value}}}$" if cell.best else _in_math(value)
    if not cell.interval:
        return value
    return f"{value} {{\\scriptsize$[{', '.join(map(_power, cell.interval))}]$}}"


def _in_math(value: str) -> str:
    return f"${value}$" if any(character.isdigit() for character in value) else latex(value)


def _power(value: str) -> str:
    """1.5e-05 as a power of ten, in mathematics."""
    return re.sub(r"e([+-])0*(\d+)", lambda found: rf"\times10^{{{found[1].strip('+')}{found[2]}}}", value)
