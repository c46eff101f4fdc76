"""`python -m egiz_schema` is `egiz-schema`."""

from egiz_schema_launch import main

main()
