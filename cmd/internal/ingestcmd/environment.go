package ingestcmd

import (
	"github.com/spf13/cobra"

	"waybill/internal/cli"
)

// environmentTopic is the help on what waybill-ingest takes from its environment.
func environmentTopic() *cobra.Command {
	return cli.Topic("environment", "environment variables, and where secrets are", `
WAYBILL_VAULT               the vault that disks are imported into; --vault goes before it

`+SecretsHelp(""))
}

// SecretsHelp tells where the secret of an address comes from; own are lines on what a program has of its own.
func SecretsHelp(own string) string {
	return `A vault in Azure Blob Storage, or what a Data Box filled, has the address azblob://ACCOUNT/CONTAINER[/PREFIX][?endpoint=URL]; the endpoint is the account's blob
service, where that is not https://ACCOUNT.blob.core.windows.net. An address never holds a secret. That comes from the first of

--secret-file FILE               a file that holds it
--secret-command COMMAND         a command line that prints it
` + own + `WAYBILL_AZURE_SECRET_FILE        a file that holds it
WAYBILL_AZURE_SECRET_COMMAND     a command line that prints it
AZURE_STORAGE_CONNECTION_STRING  a connection string
AZURE_STORAGE_SAS_TOKEN          a shared access signature
AZURE_STORAGE_KEY                an account's key; this and the two before it are passed over when AZURE_STORAGE_ACCOUNT says another account

and without any of them is what Azure gives this host or user: a workload identity, a managed identity, or the login of "az login". A secret is a
connection string, an account's key, a shared access signature, or a URL that has one. A file or command may give several, one a line, after # what one likes:
the first that fits account and container is taken.`
}
