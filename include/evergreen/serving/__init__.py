"""Online: the champion answers single rows over HTTP, by the contract and the code of the batches."""
