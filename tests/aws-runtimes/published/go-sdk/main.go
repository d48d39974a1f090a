// Command lifecycle makes the calls that Terraform's and Pulumi's AWS providers make for a function, its alias,
// permission, URL, concurrency and layer, from creation over a refresh and an update to the end, with the SDK and the
// waiters that those are built on. It prints "done" if each answer was as they expect it.
package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

const name = "by-terraform"

func archive(code string) []byte {
	var data bytes.Buffer
	writer := zip.NewWriter(&data)
	file := must(writer.Create("index.mjs"))
	must(file.Write([]byte(code)))
	check(writer.Close())
	return data.Bytes()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func expect(ok bool, format string, values ...any) {
	if !ok {
		panic(fmt.Sprintf(format, values...))
	}
}

// notFound is what both providers ask an error for before they take a resource out of their state.
func notFound(err error) bool {
	var missing *types.ResourceNotFoundException
	return errors.As(err, &missing)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	keys := credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), "")
	client := lambda.New(lambda.Options{Region: "us-east-1", BaseEndpoint: aws.String(os.Getenv("ENDPOINT")), Credentials: keys, RetryMaxAttempts: 1})
	function := aws.String(name)

	_, err := client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: function})
	expect(notFound(err), "before: %v", err)

	layer := must(client.PublishLayerVersion(ctx, &lambda.PublishLayerVersionInput{
		LayerName: aws.String("shared"), Content: &types.LayerVersionContentInput{ZipFile: archive("")},
		CompatibleRuntimes: []types.Runtime{types.RuntimeNodejs22x}}))
	must(client.GetLayerVersion(ctx, &lambda.GetLayerVersionInput{LayerName: aws.String("shared"), VersionNumber: aws.Int64(layer.Version)}))

	made := must(client.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: function, Role: aws.String("arn:aws:iam::000000000000:role/service"), Runtime: types.RuntimeNodejs22x,
		Handler: aws.String("index.handler"), Code: &types.FunctionCode{ZipFile: archive("export const handler = async () => 1;")},
		Publish: true, MemorySize: aws.Int32(128), Timeout: aws.Int32(3), PackageType: types.PackageTypeZip,
		Architectures: []types.Architecture{architecture()}, Layers: []string{*layer.LayerVersionArn},
		EphemeralStorage: &types.EphemeralStorage{Size: aws.Int32(512)}, TracingConfig: &types.TracingConfig{Mode: types.TracingModePassThrough},
		LoggingConfig: &types.LoggingConfig{LogFormat: types.LogFormatText}, Tags: map[string]string{"team": "a"},
	}))
	expect(*made.Version == "1", "version %s", *made.Version)
	check(lambda.NewFunctionActiveV2Waiter(client).Wait(ctx, &lambda.GetFunctionInput{FunctionName: function}, 20*time.Second))
	refresh(ctx, client, "1")

	must(client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: function, Timeout: aws.Int32(9), Environment: &types.Environment{Variables: map[string]string{"STAGE": "prod"}}}))
	updated := func() {
		check(lambda.NewFunctionUpdatedV2Waiter(client).Wait(ctx, &lambda.GetFunctionInput{FunctionName: function}, 20*time.Second))
	}
	updated()
	code := must(client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: function,
		ZipFile: archive("export const handler = async () => 2;"), Architectures: []types.Architecture{architecture()}}))
	updated()
	published := must(client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: function, CodeSha256: code.CodeSha256}))
	check(lambda.NewPublishedVersionActiveWaiter(client).Wait(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: function, Qualifier: published.Version}, 20*time.Second))
	refresh(ctx, client, *published.Version)

	alias(ctx, client, *published.Version)
	permission(ctx, client)
	url(ctx, client)
	concurrency(ctx, client)
	tags(ctx, client, *must(client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: function})).Configuration.FunctionArn)
	metrics(ctx, client, keys)

	must(client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: function}))
	_, err = client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: function})
	expect(notFound(err), "after: %v", err)
	must(client.DeleteLayerVersion(ctx, &lambda.DeleteLayerVersionInput{LayerName: aws.String("shared"), VersionNumber: aws.Int64(layer.Version)}))
	fmt.Println("done")
}

func architecture() types.Architecture {
	if os.Getenv("ARCHITECTURE") == "arm64" {
		return types.ArchitectureArm64
	}
	return types.ArchitectureX8664
}

// refresh reads all that the function's state is made of.
func refresh(ctx context.Context, client *lambda.Client, latest string) {
	function := aws.String(name)
	got := must(client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: function}))
	expect(got.Configuration.LastUpdateStatus == types.LastUpdateStatusSuccessful, "status %s", got.Configuration.LastUpdateStatus)
	expect(got.Tags["team"] == "a" && got.Configuration.CodeSha256 != nil && len(got.Configuration.Layers) == 1, "%v", got.Tags)
	must(client.GetFunctionCodeSigningConfig(ctx, &lambda.GetFunctionCodeSigningConfigInput{FunctionName: function}))
	must(client.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: function}))
	must(client.GetRuntimeManagementConfig(ctx, &lambda.GetRuntimeManagementConfigInput{FunctionName: function}))
	must(client.GetFunctionRecursionConfig(ctx, &lambda.GetFunctionRecursionConfigInput{FunctionName: function}))
	var last string
	pages := lambda.NewListVersionsByFunctionPaginator(client, &lambda.ListVersionsByFunctionInput{FunctionName: function, MaxItems: aws.Int32(10000)})
	for pages.HasMorePages() {
		for _, version := range must(pages.NextPage(ctx)).Versions {
			last = *version.Version
		}
	}
	expect(last == latest, "last version %s", last)
}

func alias(ctx context.Context, client *lambda.Client, version string) {
	function, live := aws.String(name), aws.String("live")
	must(client.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: function, Name: live, FunctionVersion: aws.String("1")}))
	must(client.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: function, Name: live, FunctionVersion: aws.String("1"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{version: 0.5}}}))
	got := must(client.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: function, Name: live}))
	expect(got.RoutingConfig.AdditionalVersionWeights[version] == 0.5, "%v", got.RoutingConfig)
	must(client.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: function, Name: live, FunctionVersion: aws.String(version),
		RoutingConfig: &types.AliasRoutingConfiguration{}}))
	must(client.DeleteAlias(ctx, &lambda.DeleteAliasInput{FunctionName: function, Name: live}))
	_, err := client.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: function, Name: live})
	expect(notFound(err), "alias: %v", err)
}

func permission(ctx context.Context, client *lambda.Client) {
	function := aws.String(name)
	must(client.AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: function, StatementId: aws.String("gateway"),
		Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"), SourceArn: aws.String("arn:aws:execute-api:us-east-1:000000000000:api/*")}))
	policy := must(client.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: function}))
	expect(bytes.Contains([]byte(*policy.Policy), []byte(`"Sid":"gateway"`)), "%s", *policy.Policy)
	must(client.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: function, StatementId: aws.String("gateway")}))
	_, err := client.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: function})
	expect(notFound(err), "policy: %v", err)
}

func url(ctx context.Context, client *lambda.Client) {
	function := aws.String(name)
	made := must(client.CreateFunctionUrlConfig(ctx, &lambda.CreateFunctionUrlConfigInput{FunctionName: function, AuthType: types.FunctionUrlAuthTypeNone}))
	must(client.UpdateFunctionUrlConfig(ctx, &lambda.UpdateFunctionUrlConfigInput{FunctionName: function, InvokeMode: types.InvokeModeResponseStream,
		Cors: &types.Cors{AllowOrigins: []string{"*"}}}))
	got := must(client.GetFunctionUrlConfig(ctx, &lambda.GetFunctionUrlConfigInput{FunctionName: function}))
	expect(*got.FunctionUrl == *made.FunctionUrl && got.InvokeMode == types.InvokeModeResponseStream, "%v", got)
	must(client.DeleteFunctionUrlConfig(ctx, &lambda.DeleteFunctionUrlConfigInput{FunctionName: function}))
	_, err := client.GetFunctionUrlConfig(ctx, &lambda.GetFunctionUrlConfigInput{FunctionName: function})
	expect(notFound(err), "url: %v", err)
}

func concurrency(ctx context.Context, client *lambda.Client) {
	function := aws.String(name)
	must(client.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: function, ReservedConcurrentExecutions: aws.Int32(3)}))
	got := must(client.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: function}))
	expect(*got.ReservedConcurrentExecutions == 3, "%v", got)
	must(client.DeleteFunctionConcurrency(ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: function}))
	must(client.PutFunctionEventInvokeConfig(ctx, &lambda.PutFunctionEventInvokeConfigInput{FunctionName: function, MaximumRetryAttempts: aws.Int32(0)}))
	must(client.GetFunctionEventInvokeConfig(ctx, &lambda.GetFunctionEventInvokeConfigInput{FunctionName: function}))
	must(client.DeleteFunctionEventInvokeConfig(ctx, &lambda.DeleteFunctionEventInvokeConfigInput{FunctionName: function}))
}

func tags(ctx context.Context, client *lambda.Client, arn string) {
	must(client.TagResource(ctx, &lambda.TagResourceInput{Resource: &arn, Tags: map[string]string{"stage": "prod"}}))
	must(client.UntagResource(ctx, &lambda.UntagResourceInput{Resource: &arn, TagKeys: []string{"team"}}))
	got := must(client.ListTags(ctx, &lambda.ListTagsInput{Resource: &arn}))
	expect(len(got.Tags) == 1 && got.Tags["stage"] == "prod", "%v", got.Tags)
}

// metrics are asked for in whatever protocol this SDK has chosen.
func metrics(ctx context.Context, client *lambda.Client, keys aws.CredentialsProvider) {
	answer := must(client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(name)}))
	expect(string(answer.Payload) == "2", "%s", answer.Payload)
	watch := cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: aws.String(os.Getenv("ENDPOINT")), Credentials: keys, RetryMaxAttempts: 1})
	now := time.Now()
	got := must(watch.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("AWS/Lambda"), MetricName: aws.String("Invocations"), Period: aws.Int32(3600),
		StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now.Add(time.Minute)), Statistics: []cwtypes.Statistic{cwtypes.StatisticSum},
		Dimensions: []cwtypes.Dimension{{Name: aws.String("FunctionName"), Value: aws.String(name)}}}))
	expect(len(got.Datapoints) == 1 && *got.Datapoints[0].Sum == 1, "%v", got.Datapoints)
}
