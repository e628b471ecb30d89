"""The wire sides of the twins, one package per venue, written from the venues' documents."""
