// What Go, and so the signer in kube-controller-manager, sees in the vectors of tests/cases/csr. Standard library only.
module rollcall.dev/tests/differential

go 1.26
