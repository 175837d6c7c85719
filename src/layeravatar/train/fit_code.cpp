#include "layeravatar/train/fit_code.h"

#include <omp.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <mutex>

#include "layeravatar/core/error.h"
#include "layeravatar/tensor/one_thread.h"
#include "layeravatar/diffusion/block_cosine.h"

namespace layeravatar::train {
namespace {

// Adam from zero; where gradients are faint, steps are small: the root of the second moment's mean over `shared_over`
// joins each one's own by `share`.
class SharedAdam {
 public:
  SharedAdam(c10::IntArrayRef shape, std::vector<std::int64_t> shared_over, double share)
      : value_(torch::zeros(shape)), first_(torch::zeros(shape)), second_(torch::zeros(shape)), over_(std::move(shared_over)), share_(share) {}
  [[nodiscard]] const torch::Tensor& value() const { return value_; }
  void step(const torch::Tensor& gradient, double rate) {
    constexpr double kBeta1 = 0.9, kBeta2 = 0.98;
    ++count_;
    first_.mul_(kBeta1).add_(gradient, 1 - kBeta1);
    second_.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
    const torch::Tensor square = second_ / (1 - std::pow(kBeta2, count_));
    value_.addcdiv_(first_, square.sqrt() + share_ * square.mean(over_, true).sqrt() + 1e-12, -rate / (1 - std::pow(kBeta1, count_)));
  }

 private:
  torch::Tensor value_, first_, second_;
  std::vector<std::int64_t> over_;
  double share_;
  int count_ = 0;
};

// Writes nothing where that holds already: threads share the decoder.
void freeze(avatar::Decoder& decoder) {
  if (decoder.is_training()) decoder.eval();
  for (torch::Tensor& p : decoder.parameters())
    if (p.requires_grad()) p.requires_grad_(false);
}

}  // namespace

CodePrior code_prior(std::shared_ptr<const diffusion::MixturePrior> prior, const avatar::PlaneActivation& activation, std::int64_t planes_height) {
  constexpr double kBroad = 0.3;
  const torch::NoGradGuard no_grad;
  const torch::Tensor zero = torch::zeros({avatar::kPlaneChannels, planes_height, 3 * planes_height});
  if (prior == nullptr || !prior->fitted())
    return {zero, torch::full({avatar::kPlaneChannels, diffusion::kCosineBlock, diffusion::kCosineBlock}, kBroad), nullptr, 0};
  constexpr double kSmall = 1e-3;
  const torch::Tensor middle = activation.inverse(zero);
  const double slope = ((activation.inverse(zero + kSmall) - middle) / kSmall).mean().item<double>();
  return {activation.inverse(prior->mean()[0]), prior->frequency_deviation() * slope, std::move(prior), slope};
}

torch::Tensor fit_code(const Scaffold& scaffold, avatar::Decoder& decoder, const avatar::PlaneActivation& activation,
                       const CodePrior& prior, const std::function<SceneBatch(int)>& views, const FitOptions& options) {
  constexpr double kLastRate = 1.0 / 30, kShareOfBlocks = 0.3, kShareOfComponents = 1;
  freeze(decoder);
  const torch::Tensor deviation = prior.deviation.unsqueeze(1).unsqueeze(1);  // [12, 1, 1, 8, 8]
  const auto frequencies = [](const torch::Tensor& x) { return diffusion::block_cosine(x.unsqueeze(0))[0]; };
  SharedAdam z(frequencies(prior.mean).sizes(), {1, 2}, kShareOfBlocks);
  SharedAdam components({diffusion::MixturePrior::kParts, prior.components ? prior.components->rank() : 1}, {1}, kShareOfComponents);
  const auto alone = prior.components ? static_cast<int>(options.components_alone * options.steps) : 0;
  CodeState state{prior.mean.clone(), torch::Tensor(), torch::Tensor(), 0};
  std::vector<SceneBatch> scene;
  int batch = 0, view = 0;
  StepTimes times;
  for (int step = 0; step < options.steps; ++step) {
    if (options.observe) options.observe(step, state.code);
    if (scene.empty() || view + 2 > static_cast<int>(scene[0].cameras.size())) {
      scene = {views(batch++)};
      LAV_CHECK(!scene[0].cameras.empty(), "a view");
      view = 0;
    }
    const std::vector<int> drawn = scene[0].cameras.size() > 1 ? std::vector<int>{view, view + 1} : std::vector<int>{0};
    const double kappa = kappa_of(0, scene[0].labels);
    Reconstruction r = reconstruct(scaffold, decoder, activation, scene, {&state}, options.stage, kappa, drawn, times);
    view += 2;
    if (options.beside) r.code_gradients[0] += options.beside(state.code, step);
    if (!std::isfinite(r.code_gradients[0].sum().item<double>()))
      throw Error(ErrorKind::kDiverged, "gradient of the planes at step " + std::to_string(step) + " is not finite");
    const torch::NoGradGuard no_grad;
    const double rate = options.step_size * std::pow(kLastRate, static_cast<double>(step) / options.steps);
    state.code = prior.mean;
    if (prior.components) {
      components.step(prior.components->to_components(r.code_gradients[0]) * prior.slope + options.prior_weight * components.value(), rate);
      state.code = state.code + prior.slope * prior.components->of_components(components.value());
    }
    if (step >= alone) {
      z.step(frequencies(r.code_gradients[0]) * deviation + options.prior_weight * z.value(), rate);
      state.code = state.code + diffusion::inverse_block_cosine((deviation * z.value()).unsqueeze(0))[0];
    }
  }
  if (options.observe) options.observe(options.steps, state.code);
  return state.code;
}

std::vector<torch::Tensor> fit_codes(const Scaffold& scaffold, avatar::Decoder& decoder, const avatar::PlaneActivation& activation,
                                     const CodePrior& prior, std::int64_t count, const std::function<SceneBatch(std::int64_t, int)>& load,
                                     const FitOptions& options, const std::function<void(std::int64_t)>& fitted, const std::atomic<bool>* stop) {
  freeze(decoder);
  std::vector<torch::Tensor> out(static_cast<std::size_t>(count));
  std::atomic<std::int64_t> next = 0;
  std::int64_t done = 0;
  std::mutex mutex;
  const auto stopped = [&] { return stop != nullptr && *stop; };
  const auto work = [&] {
    tensor::stay_on_one_thread();
    for (std::int64_t i = next++; i < count && !stopped(); i = next++) {
      torch::Tensor code;
      try {
        code = fit_code(scaffold, decoder, activation, prior, [&](int batch) { return load(i, batch); }, options);
      } catch (...) {
        next = count;  // the others end with what they have begun
        throw;
      }
      const std::lock_guard lock(mutex);
      out[static_cast<std::size_t>(i)] = std::move(code);
      if (fitted) fitted(++done);
    }
  };
  std::vector<std::future<void>> workers;
  for (std::int64_t k = 0; k < std::min<std::int64_t>(count, omp_get_max_threads()); ++k) workers.push_back(std::async(std::launch::async, work));
  for (auto& worker : workers) worker.wait();
  for (auto& worker : workers) worker.get();
  for (const torch::Tensor& code : out)
    if (!code.defined()) return {};
  return out;
}

}  // namespace layeravatar::train
