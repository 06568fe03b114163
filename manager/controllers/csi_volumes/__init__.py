"""The life of volumes of CSI drivers, run by the manager that leads."""
