# One image for all of Stackscreen's own services: migrate, worker, beat, dashboard.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# The CPU build of torch by default; for a GPU worker: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/stackscreen
ENV PATH=/opt/stackscreen/bin:$PATH
# Which build of torch is the machine's choice, so it comes first and its hash is not in the lock.
RUN pip install --index-url ${TORCH_INDEX} --extra-index-url https://pypi.org/simple torch==2.13.0
COPY requirements.lock .
RUN pip install --require-hashes --no-deps -r requirements.lock
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY alembic alembic
COPY schema schema
COPY etl etl
COPY ml ml
COPY dashboard dashboard
COPY platform platform
RUN pip install --no-deps --no-build-isolation .

FROM ${PYTHON_IMAGE}
# LightGBM's threads.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin stackscreen \
    && install -d -o stackscreen -g stackscreen -m 0700 /var/lib/stackscreen /var/lib/stackscreen/state
COPY --from=build /opt/stackscreen /opt/stackscreen
# The root file system may be read-only: what libraries cache goes to /tmp.
ENV PATH=/opt/stackscreen/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    STACKSCREEN_DATA_DIR=/var/lib/stackscreen
USER stackscreen
WORKDIR /var/lib/stackscreen
ENTRYPOINT ["stackscreen"]
CMD ["--help"]
