"""`trainer infer`: many images through one artifact, each result in Redis as it comes.

`predictor` holds the one `predict_batch` function; `engines` says how it is fed on a CPU, on a GPU
or by Ray; `journal` remembers what is done, so that the same command goes on after a kill;
`posting` writes into Redis; `running` joins them; `summary` says what came of it.

Order, for each block of images: image store, then Redis, then the journal. Ids follow from the
batch and the file's name, so what is done again after a kill is written once.
"""
