"""Run the notebooks in docs/notebooks and keep their outputs; needs nbclient and ipykernel.

python docs/notebook.py
"""

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent / "notebooks"


def main() -> None:
    """Run every notebook in an empty folder and write it with its outputs."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            client = NotebookClient(
                notebook,
                timeout=1200,
                resources={"metadata": {"path": folder}},
                record_timing=False,
            )
            client.execute()
        for cell in notebook.cells:
            if cell.cell_type == "code":  # warnings and progress name places of this machine
                cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
        notebook.metadata.pop("language_info", None)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
