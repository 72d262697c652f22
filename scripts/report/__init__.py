"""`etl.py report`: the company's figures and the pipeline's state as one HTML file that needs no network."""
