"""sha256 of the parameters after `pybackprop train --epochs 2`: constants of the definition."""

TWO_EPOCHS = "52f23c5ec96b9fc28559bcf9fb70295a4b20a7a284479e913d6f494c8e173941"
TWO_EPOCHS_DOUBLE = "d9358d553854dd6fccaf435946ab4eed2ad1020622877ea41f6c63e16c494222"
