# The image of every process: `serve` (the door), `worker --only …`, `migrate`.
# Built from the lock file alone: each package is checked against its hash.

# The Python that CI tests with.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/amili-events
ENV PATH=/opt/amili-events/bin:$PATH

# Before the code, so that a change of the code does not install them again.
COPY requirements.lock ./
RUN pip install --require-hashes --only-binary=:all: -r requirements.lock

COPY pyproject.toml README.md ./
COPY service ./service
COPY workers ./workers
# The build backend is in the lock file too: this fetches nothing.
RUN pip install --no-deps --no-build-isolation . && pip check


FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="amili-events" \
      org.opencontainers.image.description="Webhooks of Amili AutoCollect, exactly once in effect"

# The one folder that is written to: counters' files, captured refusals.
# A number and not a name: Kubernetes proves `runAsNonRoot` by it.
RUN install --directory --owner=10001 --group=10001 --mode=0750 /data
COPY --from=build /opt/amili-events /opt/amili-events

ENV PATH=/opt/amili-events/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AMILI_HOST=0.0.0.0 \
    AMILI_PORT=8080 \
    AMILI_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
EXPOSE 8080

# For `serve`; a worker has a check of its own (deploy/compose.yaml). No curl in the image.
# /readyz answers 200 while a delivery can be stored, in Redis or in the spool.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['AMILI_PORT'] + '/readyz', timeout=4)"]

# Exec form: our process is PID 1 and gets the one SIGTERM itself. A second
# SIGTERM would be RQ's cold kill, so no shell and no init stands in between.
STOPSIGNAL SIGTERM
ENTRYPOINT ["amili-events"]
CMD ["serve"]
