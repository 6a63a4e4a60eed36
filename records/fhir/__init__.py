"""A record as a FHIR R4 bundle: taken in from elsewhere, and given out whole."""
