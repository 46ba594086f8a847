# One image for every process of Uptake: `docker run uptake collector`, `... worker`, `... dashboard`, `... topics`.
FROM python:3.11-slim AS build
# gcc compiles the hot modules; without it, the same modules run as pure Python.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
WORKDIR /src
RUN python -m venv /opt/uptake
COPY requirements.lock ./
RUN /opt/uptake/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml setup.py LICENSE ./
COPY compiled compiled
COPY events events
COPY tables tables
COPY agents agents
COPY app app
RUN /opt/uptake/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim
# /var/lib/uptake: state of a worker, spool of a collector; /etc/uptake: the customers file, readable by this user only (mode 600).
RUN useradd --system --uid 10001 --home-dir /var/lib/uptake uptake \
    && install -d -o uptake -g uptake -m 700 /var/lib/uptake /etc/uptake
COPY --from=build /opt/uptake /opt/uptake
ENV PATH=/opt/uptake/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    UPTAKE_DATA_DIR=/var/lib/uptake \
    UPTAKE_CUSTOMERS_FILE=/etc/uptake/uptake.toml
USER 10001
WORKDIR /var/lib/uptake
VOLUME ["/var/lib/uptake", "/etc/uptake"]
EXPOSE 8080 6067 7070
ENTRYPOINT ["uptake"]
