//! What each vendor's refusals say, one invented body for each.

use super::*;

#[test]
fn openai_and_azure_are_understood() {
    check(&[
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"unsupported_parameter"}}"#,
            Unsupported,
            None,
        ),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","param":"n","code":"unsupported_value"}}"#,
            Unsupported,
            None,
        ),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","param":"messages","code":"empty_array"}}"#,
            Other,
            None,
        ),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"content_policy_violation"}}"#,
            ContentPolicy,
            None,
        ),
        (
            r#"{"error":{"message":"m","type":"invalid_request","code":"cyber_policy_violation"}}"#,
            ContentPolicy,
            None,
        ),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            BadCredential,
            None,
        ),
        (
            r#"{"error":{"message":"m","type":"request_forbidden","code":"unsupported_country_region_territory"}}"#,
            BadCredential,
            None,
        ),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"model_not_found"}}"#,
            NoSuchModel,
            None,
        ),
        (r#"{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}}"#, RateLimited, None),
        (r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#, Quota, None),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"billing_hard_limit_reached"}}"#,
            Quota,
            None,
        ),
        (
            r#"{"error":{"message":"The engine is overloaded for now","type":"server_error","code":null}}"#,
            Capacity,
            None,
        ),
        (r#"{"error":{"message":"The server had an error","type":"server_error","code":null}}"#, Other, None),
        // Azure
        (
            r#"{"error":{"message":"m","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true}}}}}"#,
            ContentPolicy,
            Some(400),
        ),
        (
            r#"{"error":{"message":"m","code":null,"status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
            ContentPolicy,
            Some(400),
        ),
        (
            r#"{"error":{"message":"It triggered the content management policy","code":"400"}}"#,
            ContentPolicy,
            Some(400),
        ),
        (r#"{"error":{"code":"DeploymentNotFound","message":"m"}}"#, NoSuchModel, None),
        (r#"{"error":{"code":"404","message":"Resource not found"}}"#, Other, Some(404)),
        (
            r#"{"error":{"code":"401","message":"Invalid subscription key, or a wrong endpoint"}}"#,
            BadCredential,
            Some(401),
        ),
        (r#"{"statusCode":401,"message":"Denied, invalid subscription key"}"#, BadCredential, Some(401)),
        (
            r#"{"error":{"code":"429","message":"This operation exceeded its call rate limit"}}"#,
            RateLimited,
            Some(429),
        ),
        (r#"{"error":{"code":"NoCapacity","message":"m"}}"#, Capacity, None),
    ]);
}

#[test]
fn anthropic_gemini_and_bedrock_are_understood() {
    let anthropic = |kind: &str, message: &str| {
        let body = format!(
            r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_x"}}"#
        );
        classify(body.as_bytes())
    };
    for (kind, message, reason) in [
        ("invalid_request_error", "max_tokens: is required", Other),
        ("invalid_request_error", "Your credit balance is too low to go on", Quota),
        ("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ContextOverflow),
        ("invalid_request_error", "Output blocked by content filtering policy", ContentPolicy),
        ("invalid_request_error", "foo: Extra inputs are not permitted", Unsupported),
        ("authentication_error", "invalid x-api-key", BadCredential),
        ("billing_error", "m", Quota),
        ("permission_error", "m", BadCredential),
        ("not_found_error", "model: m-1", NoSuchModel),
        ("request_too_large", "m", Other),
        ("rate_limit_error", "It would exceed your organization's limit; reduce the prompt", RateLimited),
        ("api_error", "Internal server error", Other),
        ("timeout_error", "m", Other),
        ("overloaded_error", "Overloaded", Capacity),
    ] {
        assert_eq!(anthropic(kind, message), Said { reason, status: None }, "{kind}: {message}");
    }
    check(&[
        // Gemini
        (
            r#"[{"error":{"code":400,"message":"API key not valid. Pass a good one.","status":"INVALID_ARGUMENT","details":[{"@type":"t/ErrorInfo","reason":"API_KEY_INVALID"}]}}]"#,
            BadCredential,
            Some(400),
        ),
        (
            r#"{"error":{"code":400,"message":"API key not valid","status":"INVALID_ARGUMENT"}}"#,
            BadCredential,
            Some(400),
        ),
        (
            r#"{"error":{"message":"m","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#,
            BadCredential,
            Some(400),
        ),
        (r#"[{"error":{"code":400,"message":"Bad field","status":"INVALID_ARGUMENT"}}]"#, Other, Some(400)),
        (r#"{"error":{"message":"m","status":"UNAUTHENTICATED"}}"#, BadCredential, Some(401)),
        (r#"{"error":{"message":"m","status":"PERMISSION_DENIED"}}"#, BadCredential, Some(403)),
        (
            r#"[{"error":{"code":404,"message":"models/m-1 is not found for v1","status":"NOT_FOUND"}}]"#,
            NoSuchModel,
            Some(404),
        ),
        (
            r#"[{"error":{"code":429,"message":"You exceeded your current quota, see billing details","status":"RESOURCE_EXHAUSTED","details":[{"@type":"t/RetryInfo","retryDelay":"9s"}]}}]"#,
            RateLimited,
            Some(429),
        ),
        (r#"{"error":{"message":"m","status":"RESOURCE_EXHAUSTED"}}"#, RateLimited, Some(429)),
        (r#"[{"error":{"code":500,"message":"m","status":"INTERNAL"}}]"#, Other, Some(500)),
        (r#"{"error":{"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#, Capacity, Some(503)),
        (r#"{"error":{"message":"m","status":"DEADLINE_EXCEEDED"}}"#, Other, Some(504)),
        (
            r#"{"error":{"code":503,"message":"{\n \"error\": {\"code\": 429, \"message\": \"m\"}}","status":"UNAVAILABLE"}}"#,
            Other,
            Some(429),
        ),
        // Bedrock
        (r#"{"message":"Input is too long for the requested model."}"#, ContextOverflow, None),
        (r#"{"message":"The guardrail intervened"}"#, ContentPolicy, None),
        (r#"{"message":"The guardrail identifier in the request does not exist"}"#, Other, None),
        (r#"{"message":"It would exceed a service quota of this account"}"#, Quota, None),
        (
            r#"{"Message":"User: arn:x is not authorized to perform: bedrock:InvokeModel"}"#,
            BadCredential,
            None,
        ),
        (r#"{"message":"The security token included in the request is expired"}"#, BadCredential, None),
        (r#"{"message":"The provided model identifier is invalid."}"#, NoSuchModel, None),
        (r#"{"message":"Model has timed out"}"#, Other, None),
        (r#"{"message":"Too many tokens, please wait before the next try."}"#, RateLimited, None),
        (r#"{"message":"The model is not ready for this"}"#, Capacity, None),
        (r#"{"__type":"com.x#ModelNotReadyException","message":"m"}"#, Capacity, None),
        (r#"{"__type":"ServiceQuotaExceededException","message":"m"}"#, Quota, None),
    ]);
}

#[test]
fn mistral_groq_and_openrouter_are_understood() {
    check(&[
        (
            r#"{"object":"error","message":"m","type":"rate_limited","param":null,"code":"1300"}"#,
            RateLimited,
            None,
        ),
        (
            r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"invalid_request_error","param":null,"code":"3505"}"#,
            Capacity,
            None,
        ),
        (
            r#"{"object":"error","message":"m","type":"service_tier_capacity_exceeded","code":"3505"}"#,
            Capacity,
            None,
        ),
        (r#"{"detail":"Unauthorized"}"#, BadCredential, None),
        (
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x"],"msg":"m","input":1}]},"type":"invalid_request_error","code":null}"#,
            Unsupported,
            None,
        ),
        (
            r#"{"object":"error","message":{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":{"content":"prompt is too long"}}]}}"#,
            Other,
            None,
        ),
        (
            r#"{"detail":[{"loc":["body"],"msg":"Prompt is too long","type":"value_error"}]}"#,
            ContextOverflow,
            None,
        ),
        (r#"{"detail":["a","the prompt is too long"]}"#, ContextOverflow, None),
        // Groq
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"invalid api key"}}"#,
            Other,
            None,
        ),
        (
            r#"{"error":{"message":"Flex is at capacity","type":"internal","code":"498"}}"#,
            Capacity,
            Some(498),
        ),
        // OpenRouter
        (r#"{"error":{"code":401,"message":"No auth credentials found"}}"#, BadCredential, Some(401)),
        (r#"{"error":{"code":402,"message":"Insufficient credits"}}"#, Quota, Some(402)),
        (
            r#"{"error":{"code":403,"message":"m","metadata":{"reasons":["violence"],"flagged_input":"x","provider_name":"p"}}}"#,
            ContentPolicy,
            Some(403),
        ),
        (
            r#"{"error":{"code":403,"message":"m","metadata":{"moderation":{"x":1}}}}"#,
            ContentPolicy,
            Some(403),
        ),
        (
            r#"{"error":{"code":403,"message":"m","metadata":{"reasons":[],"flagged_input":""}}}"#,
            Other,
            Some(403),
        ),
        (r#"{"error":{"code":408,"message":"Timed out"}}"#, Other, Some(408)),
        (
            r#"{"error":{"code":400,"message":"Provider error","metadata":{"provider_name":"p","raw":"{\"error\":{\"message\":\"m\",\"code\":\"context_length_exceeded\"}}"}}}"#,
            ContextOverflow,
            Some(400),
        ),
        (
            r#"{"error":{"code":502,"message":"Provider error","metadata":{"raw":{"error":{"code":429,"type":"rate_limit_error"}}}}}"#,
            RateLimited,
            Some(429),
        ),
        (
            r#"{"error":{"code":502,"message":"Provider error","metadata":{"raw":"rate limit, invalid api key"}}}"#,
            Other,
            Some(502),
        ),
        (r#"{"error":{"code":400,"message":"x/y is not a valid model ID"}}"#, NoSuchModel, Some(400)),
        (r#"{"error":{"code":503,"message":"m"}}"#, Other, Some(503)),
    ]);
}

#[test]
fn self_hosted_servers_and_what_stands_in_between_are_understood() {
    check(&[
        // vLLM and SGLang
        (
            r#"{"error":{"message":"The model `m` does not exist.","type":"NotFoundError","param":"model","code":404}}"#,
            NoSuchModel,
            Some(404),
        ),
        (r#"{"error":"Unauthorized"}"#, BadCredential, None),
        (r#"{"error":{"message":"m","type":"InternalServerError","code":500}}"#, Other, Some(500)),
        (
            r#"{"object":"error","message":"The input (9 tokens) is longer than the model's context length (8 tokens).","type":"BadRequestError","code":400}"#,
            ContextOverflow,
            Some(400),
        ),
        (
            r#"{"error":{"object":"error","message":"Aborted","type":"SERVICE_UNAVAILABLE","code":503}}"#,
            Other,
            Some(503),
        ),
        // Ollama
        (
            r#"{"error":{"message":"model \"m\" not found, try pulling it first","type":"api_error","param":null,"code":null}}"#,
            NoSuchModel,
            None,
        ),
        (r#"{"error":"model 'm' not found"}"#, NoSuchModel, None),
        (r#"{"error":"m does not support tools"}"#, Unsupported, None),
        (r#"{"error":"server busy, please try again"}"#, Capacity, None),
        // TGI
        (r#"{"error":"Model is overloaded","error_type":"overloaded"}"#, Capacity, None),
        (r#"{"error":"m","error_type":"generation"}"#, Other, None),
        // llama.cpp
        (r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#, Other, Some(503)),
        (r#"{"error":{"code":501,"message":"m","type":"not_supported_error"}}"#, Unsupported, Some(501)),
        (r#"{"error":{"code":401,"message":"m","type":"authentication_error"}}"#, BadCredential, Some(401)),
        // in between
        ("<html><title>413 rate limit</title></html>", Other, None),
        ("Unauthorized", Other, None),
        (r#""prompt is too long""#, ContextOverflow, None),
        (
            r#"{"errors":[{"message":"m","code":5006},{"message":"Too many requests"}],"success":false}"#,
            RateLimited,
            None,
        ),
        ("{}", Other, None),
        ("[]", Other, None),
        ("[{}]", Other, None),
        ("7", Other, None),
        (r#"{"error":true}"#, Other, None),
        (r#"{"error":{"message":{"message":{"message":"rate limit"}}}}"#, RateLimited, None),
        (r#"{"error":{"message":"rate limit""#, Other, None),
    ]);
    assert_eq!(classify(b"\xff\xfe"), Said::NOTHING);
    assert_eq!(classify(b"{\"error\":{\"message\":\"\xff Rate limit\"}}").reason, RateLimited);
}
