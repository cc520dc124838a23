# The site: scripts/build_docs.sh. Sphinx reads the pages where they lie in the repository, so that a link between them
# works in both.
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "bindings" / "python"))

project = "chest"
author = "the chest authors"
copyright = "2026, " + author
version = release = re.search(r"^project\(chest VERSION ([\d.]+)", (root / "CMakeLists.txt").read_text(), re.M)[1]

extensions = ["myst_parser", "breathe", "sphinx.ext.autodoc"]
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/site/*.md", "models/*.md"]
root_doc = "docs/site/index"
html_theme = "sphinx_rtd_theme"
html_title = f"chest {release}"
templates_path = ["."]
html_additional_pages = {"index": "to_index.html"}
html_copy_source = False
highlight_language = "none"
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# Functions of C++ and C, from what Doxygen read (scripts/build_docs.sh).
breathe_default_project = "cpp"
breathe_default_members = ("members",)
breathe_show_include = True
cpp_id_attributes = ["CHEST_API"]

# The signatures of the package without building its compiled part.
autodoc_mock_imports = ["chest._chest"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"


def as_it_stands(app, what, name, obj, options, lines):
    """Docstrings are plain text: the first paragraph as such, columns below it as they are."""
    end = lines.index("") if "" in lines else len(lines)
    first = [re.sub(r"([|*\\])", r"\\\1", line) for line in lines[:end]]
    rest = ["   " + line for line in lines[end:]]
    lines[:] = first + (["", "::", "", *rest, ""] if any(line.strip() for line in rest) else [""])


def without_folders(app, docname, source):
    """Links to folders of the repository lead nowhere on the site: their text stands alone."""
    here = (root / app.env.doc2path(docname, base=False)).parent
    source[0] = re.sub(r"\[([^\]]*)\]\(([^)#]+)\)",
                       lambda link: link[1] if (here / link[2]).is_dir() else link[0], source[0])


def setup(app):
    app.connect("source-read", without_folders)
    app.connect("autodoc-process-docstring", as_it_stands)
