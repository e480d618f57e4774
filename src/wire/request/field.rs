//! The top-level fields of our API: their names, and what becomes of each on the way to the backing model.

use super::path::Path;
use crate::error::BadRequest;

/// A top-level field that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Model,
    Messages,
    Stream,
    StreamOptions,
    MaxTokens,
    MaxCompletionTokens,
    Temperature,
    TopP,
    PresencePenalty,
    FrequencyPenalty,
    N,
    Stop,
    Seed,
    LogitBias,
    Logprobs,
    TopLogprobs,
    ResponseFormat,
    Tools,
    ToolChoice,
    ParallelToolCalls,
    Functions,
    FunctionCall,
    User,
    SafetyIdentifier,
    PromptCacheKey,
    PromptCacheRetention,
    PromptCacheOptions,
    Metadata,
    Store,
    ServiceTier,
    ReasoningEffort,
    Verbosity,
    Modalities,
    Audio,
    Prediction,
    WebSearchOptions,
    Moderation,
}

/// What becomes of a top-level member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) enum Fate {
    /// Goes on as it was sent.
    Keep,
    /// Goes on with another value: the backing model's name.
    Model,
    /// Goes on with another value, which names nobody.
    Named,
    /// Ends here: it is for us, about our customer, or about an account that is ours.
    Drop,
    /// Goes on where the alias shows log probabilities, which tell a model's family by its tokens.
    Logprobs,
    /// Not ours: goes on if the pool lists its name.
    Unknown,
}

impl Field {
    /// The field with this name; names are compared byte for byte.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "model" => Self::Model,
            "messages" => Self::Messages,
            "stream" => Self::Stream,
            "stream_options" => Self::StreamOptions,
            "max_tokens" => Self::MaxTokens,
            "max_completion_tokens" => Self::MaxCompletionTokens,
            "temperature" => Self::Temperature,
            "top_p" => Self::TopP,
            "presence_penalty" => Self::PresencePenalty,
            "frequency_penalty" => Self::FrequencyPenalty,
            "n" => Self::N,
            "stop" => Self::Stop,
            "seed" => Self::Seed,
            "logit_bias" => Self::LogitBias,
            "logprobs" => Self::Logprobs,
            "top_logprobs" => Self::TopLogprobs,
            "response_format" => Self::ResponseFormat,
            "tools" => Self::Tools,
            "tool_choice" => Self::ToolChoice,
            "parallel_tool_calls" => Self::ParallelToolCalls,
            "functions" => Self::Functions,
            "function_call" => Self::FunctionCall,
            "user" => Self::User,
            "safety_identifier" => Self::SafetyIdentifier,
            "prompt_cache_key" => Self::PromptCacheKey,
            "prompt_cache_retention" => Self::PromptCacheRetention,
            "prompt_cache_options" => Self::PromptCacheOptions,
            "metadata" => Self::Metadata,
            "store" => Self::Store,
            "service_tier" => Self::ServiceTier,
            "reasoning_effort" => Self::ReasoningEffort,
            "verbosity" => Self::Verbosity,
            "modalities" => Self::Modalities,
            "audio" => Self::Audio,
            "prediction" => Self::Prediction,
            "web_search_options" => Self::WebSearchOptions,
            "moderation" => Self::Moderation,
            _ => return None,
        })
    }

    /// The field's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Messages => "messages",
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::PresencePenalty => "presence_penalty",
            Self::FrequencyPenalty => "frequency_penalty",
            Self::N => "n",
            Self::Stop => "stop",
            Self::Seed => "seed",
            Self::LogitBias => "logit_bias",
            Self::Logprobs => "logprobs",
            Self::TopLogprobs => "top_logprobs",
            Self::ResponseFormat => "response_format",
            Self::Tools => "tools",
            Self::ToolChoice => "tool_choice",
            Self::ParallelToolCalls => "parallel_tool_calls",
            Self::Functions => "functions",
            Self::FunctionCall => "function_call",
            Self::User => "user",
            Self::SafetyIdentifier => "safety_identifier",
            Self::PromptCacheKey => "prompt_cache_key",
            Self::PromptCacheRetention => "prompt_cache_retention",
            Self::PromptCacheOptions => "prompt_cache_options",
            Self::Metadata => "metadata",
            Self::Store => "store",
            Self::ServiceTier => "service_tier",
            Self::ReasoningEffort => "reasoning_effort",
            Self::Verbosity => "verbosity",
            Self::Modalities => "modalities",
            Self::Audio => "audio",
            Self::Prediction => "prediction",
            Self::WebSearchOptions => "web_search_options",
            Self::Moderation => "moderation",
        }
    }

    /// What becomes of the member whatever its value is.
    pub(super) fn fate(self) -> Fate {
        match self {
            Self::Model => Fate::Model,
            // What we ask for on a stream is ours to write.
            Self::StreamOptions => Fate::Drop,
            // What is said of our customer's customers in clear. Their identifiers go on in another form;
            // where there is none, nothing goes on.
            Self::Metadata | Self::User | Self::SafetyIdentifier | Self::PromptCacheKey => Fate::Drop,
            // What one tenant puts into a provider's store, the next one might find.
            Self::Store => Fate::Drop,
            // Price, and vocabulary that names the provider.
            Self::ServiceTier | Self::Moderation => Fate::Drop,
            // Services that this API does not offer.
            Self::WebSearchOptions | Self::Audio => Fate::Drop,
            Self::Logprobs | Self::TopLogprobs => Fate::Logprobs,
            Self::Messages
            | Self::Stream
            | Self::MaxTokens
            | Self::MaxCompletionTokens
            | Self::Temperature
            | Self::TopP
            | Self::PresencePenalty
            | Self::FrequencyPenalty
            | Self::N
            | Self::Stop
            | Self::Seed
            | Self::LogitBias
            | Self::ResponseFormat
            | Self::Tools
            | Self::ToolChoice
            | Self::ParallelToolCalls
            | Self::Functions
            | Self::FunctionCall
            | Self::PromptCacheRetention
            | Self::PromptCacheOptions
            | Self::ReasoningEffort
            | Self::Verbosity
            | Self::Modalities
            | Self::Prediction => Fate::Keep,
        }
    }

    /// A complaint about this field.
    pub(super) fn wrong(self, wrong: &'static str) -> BadRequest {
        Path::Top(self.name()).wrong(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_field_and_back() {
        for name in ["model", "n", "audio", "moderation", "max_tokens", "prompt_cache_options"] {
            assert_eq!(Field::named(name).map(Field::name), Some(name));
        }
        for other in ["", "Model", "model ", "model\0", "Max_Tokens"] {
            assert_eq!(Field::named(other), None, "{other:?}");
        }
    }

    #[test]
    fn there_is_a_bit_for_every_field() {
        assert!((Field::Moderation as u32) < 64);
    }
}
