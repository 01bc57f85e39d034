# One image for every process of ours: `docker run IMAGE api`, `worker`, `beat`, `db upgrade`.
# A project with tasks of its own builds on it: FROM this image, then pip install the project.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
ARG EXTRAS="server binary metrics secrets flower"
WORKDIR /src
RUN python -m venv /opt/orchestrator
# The pinned dependencies first: they change less often than the code. Those of the tests are
# no part of the image.
COPY pyproject.toml constraints.txt README.md LICENSE hatch_build.py ./
RUN /opt/orchestrator/bin/python -c "import tomllib; \
        project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        extras = project['optional-dependencies']; \
        print(*project['dependencies'], *(each for extra in '${EXTRAS}'.split() \
            for each in extras[extra]), sep='\n')" \
        > requirements.txt \
    && /opt/orchestrator/bin/pip install --no-cache-dir --disable-pip-version-check \
        --constraint constraints.txt --requirement requirements.txt
COPY orchestrator ./orchestrator
COPY api ./api
COPY examples/shop ./examples/shop
COPY console ./console
RUN /opt/orchestrator/bin/pip install --no-cache-dir --disable-pip-version-check \
        --no-deps .

FROM python:${PYTHON}-slim-bookworm
RUN useradd --system --uid 10001 --user-group --home-dir /app --create-home orchestrator
COPY --from=build /opt/orchestrator /opt/orchestrator
# For `celery --config celeryconfig`, as Flower uses it.
COPY --chown=root:root celeryconfig.py /app/
ENV PATH=/opt/orchestrator/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001:10001
EXPOSE 8233
STOPSIGNAL SIGTERM
ENTRYPOINT ["orchestrator"]
CMD ["--help"]
