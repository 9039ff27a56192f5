# What one does with this project. https://just.systems; each recipe is one plain command.

# List the recipes.
default:
    @just --list

# Install everything, for work on the project.
install:
    pip install -c constraints.txt -e ".[test]"

# Start the app.
app:
    streamlit run app.py --server.address localhost

# Run the tests, or some: just test tests/io -k dicom
test *arguments:
    pytest {{arguments}}

# Check style and types.
lint:
    ruff check .
    ruff format --check .
    mypy

# Mend style.
format:
    ruff check --fix .
    ruff format .

# Everything that must hold before a change lands, in an environment of its own.
ci:
    bash .ci/run

# Build the wheel into dist/.
wheel:
    pip wheel --no-deps --wheel-dir dist .

# Build the image, say how large it is, and start the app in it; needs root, Debian's buildah and mmdebstrap.
image:
    deploy/build-root

# Write the tested versions again (needs uv).
lock:
    uv pip compile --universal --no-annotate --extra test --python-version 3.11 --output-file constraints.txt pyproject.toml

# Say which packages resolve for a version of Python, from wheels alone: just resolve 3.13
resolve version:
    uv pip compile --only-binary :all: --quiet --extra test --python-version {{version}} pyproject.toml

# Train on an index, a model for each fold, and measure: just crossval index.csv runs
crossval index runs:
    brat crossval --data {{index}} --out {{runs}}
    brat results --data {{index}} --runs {{runs}}

# Measure how fast everything is, and write docs/performance.md.
benchmark:
    python -m benchmarks --page docs/performance.md

# Try which files are read, and write docs/formats.md.
formats:
    python -m tools.formats --out docs/formats.md

# Take the pictures of the README again; needs Chromium.
pictures:
    python -m tools.readme_pictures --out docs

# Damage files at random for some minutes: just fuzz 10
fuzz minutes:
    python -m tests.fuzz --minutes {{minutes}}

# Fifty sessions for some minutes: just soak 10
soak minutes:
    python -m benchmarks.soak --minutes {{minutes}}

# List all that is installed, as CycloneDX (SBOM).
sbom:
    cyclonedx-py environment --output-file sbom.json

# Ask for known vulnerabilities of the tested versions; what was skipped was not asked.
audit:
    pip-audit --requirement constraints.txt --no-deps
