package azure

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

// failure says why a call brought no answer: in Azure's words, if it replied.
func failure(call string, err error) *explain.Failure {
	f := &explain.Failure{Call: call, Words: err.Error(), Err: err}
	var login *azidentity.AuthenticationFailedError
	if errors.As(err, &login) && login.RawResponse != nil {
		f.Status = login.RawResponse.StatusCode
	}
	var said *azcore.ResponseError
	if !errors.As(err, &said) {
		return f
	}
	f.Status, f.Words = said.StatusCode, strconv.Itoa(said.StatusCode)+" "+said.ErrorCode
	f.Throttled = said.StatusCode == http.StatusTooManyRequests
	if said.RawResponse == nil {
		return f
	}
	if words := message(said.RawResponse); words != "" {
		f.Words += ": " + words
	}
	if seconds, err := strconv.ParseUint(said.RawResponse.Header.Get("Retry-After"), 10,
		16); err == nil {
		f.Wait = time.Duration(seconds) * time.Second
	}
	return f
}

// message returns what an error of Resource Manager says
// (github.com/microsoft/api-guidelines, "Error condition responses").
func message(reply *http.Response) string {
	body, err := runtime.Payload(reply)
	if err != nil {
		return ""
	}
	var said struct{ Error struct{ Message string } }
	if err := json.Unmarshal(body, &said); err != nil {
		return ""
	}
	return said.Error.Message
}
