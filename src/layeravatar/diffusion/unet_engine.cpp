#include "layeravatar/diffusion/unet_engine.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "layeravatar/core/error.h"
#include "layeravatar/diffusion/kernels/unet_layers.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::diffusion {
namespace {

using torch::Tensor;

// Parameters by name.
class Weights {
 public:
  explicit Weights(const UNet& unet) {
    for (const auto& p : unet.named_parameters()) named_.emplace(p.key(), p.value().detach().to(torch::kCPU).contiguous());
  }
  [[nodiscard]] bool has(const std::string& name) const { return named_.count(name) != 0; }
  [[nodiscard]] Tensor operator()(const std::string& name) const { return named_.at(name); }
  // Any parameter below `prefix`.
  [[nodiscard]] bool has_below(const std::string& prefix) const {
    const auto at = named_.lower_bound(prefix);
    return at != named_.end() && at->first.starts_with(prefix);
  }

 private:
  std::map<std::string, Tensor> named_;
};

// Changes whenever a parameter is written by LibTorch.
std::vector<std::int64_t> versions_of(const UNet& unet) {
  std::vector<std::int64_t> out;
  for (const Tensor& p : unet.parameters()) out.push_back(p._version());
  return out;
}

// Channels `from` to `from + count` in whole blocks.
void append_channels(std::vector<int>& places, int from, int count) {
  for (int i = 0; i < blocks_of(count) * kBlock; ++i) places.push_back(i < count ? from + i : -1);
}

// A map, what is known of its channels, and its norm as factors.
struct Value {
  FeatureMap map;
  Moments moments;
  int channels = 0;
  std::vector<float> scale, shift;  // [image][channels, filled up]
};

struct Norm {
  Tensor weight, bias;
  Norm() = default;
  Norm(const Weights& weights, const std::string& name) : weight(weights(name + ".weight")), bias(weights(name + ".bias")) {}
};

struct ResBlock {
  Norm norm, inner;
  Tensor embedding_weight, embedding_bias;
  Convolution first, second, shortcut;
  bool has_shortcut = false;
};

struct Attention {
  Norm norm;
  Convolution qkv, proj;
  int head_channels = 0;
};

// How a convolution sees its input.
enum class Read { kPlain, kNormed, kNormedSilu };

struct Part {
  enum class Kind { kResBlock, kAttention, kConvolution } kind;
  std::size_t index;  // in the list of its kind
};

struct Block {
  std::vector<Part> parts;
  int channels = 0, rows = 0, columns = 0;  // of its result
};

const float* data_of(const Tensor& t) { return tensor::floats(t, "parameter"); }

}  // namespace

struct UNetEngine::Net {
  Precision precision;
  std::vector<std::int64_t> versions;
  int heads, images = 0;
  Tensor time_weight[2], time_bias[2];
  std::vector<ResBlock> res_blocks;
  std::vector<Attention> attentions;
  std::vector<Convolution> convolutions;
  std::vector<Block> in, out;
  Block middle;
  Norm head_norm;
  Convolution head;

  // Results of `in` stay until `out` has read them; `out` goes to and fro between two.
  Value input;
  std::vector<Value> skips;
  Value turns[2], inner, qkv, attended, result;
  std::vector<Floats> memory;
  std::vector<Floats> scratch;
  Floats keys;
  std::vector<float> embedding, gain_and_offset, gain, offset;

  explicit Net(const UNet& unet);
  void plan(int count);
  Tensor forward(const Tensor& x, const Tensor& estimate, const Tensor& t);
  [[nodiscard]] std::size_t bytes();
  [[nodiscard]] Work work();

 private:
  [[nodiscard]] std::vector<Convolution*> all_convolutions();
  struct Size {
    int rows, columns;
  };
  Block read_block(const Weights& weights, const std::string& name, const std::vector<int>& channels, Size& size);
  Convolution convolution(const Weights& weights, const std::string& name, const std::vector<int>& channels, Size size, int stride = 1, bool doubled = false,
                          std::vector<int> out_places = {});
  void embed(const Tensor& t);
  void set_norm(const std::vector<Value*>& values, const Norm& norm, const float* gains = nullptr, const float* offsets = nullptr);
  void run(const Convolution& conv, const std::vector<Value*>& inputs, Read read, Value& to, const float* residual = nullptr, bool moments = true);
  void run(const ResBlock& block, const std::vector<Value*>& inputs, Value& to);
  void run(const Attention& attention, Value& value);
  void run(const Block& block, const std::vector<Value*>& inputs, Value& to);
};

UNetEngine::Net::Net(const UNet& unet) : precision(unet.precision()), versions(versions_of(unet)), heads(unet.config().heads) {
  const Weights weights(unet);
  const UNetConfig& config = unet.config();
  for (int i = 0; i < 2; ++i) {
    time_weight[i] = weights("time_embedding.blocks." + std::to_string(2 * i) + ".weight");
    time_bias[i] = weights("time_embedding.blocks." + std::to_string(2 * i) + ".bias");
  }
  Size size{config.image_size[0], config.image_size[1]};
  input.map.rows = size.rows;
  input.map.columns = size.columns;
  std::vector<int> channels(config.prior_rank > 0 ? 2 : 1, config.in_channels), widths;
  for (int i = 0; weights.has_below("in_blocks." + std::to_string(i) + "."); ++i) {
    in.push_back(read_block(weights, "in_blocks." + std::to_string(i) + ".", channels, size));
    channels = {in.back().channels};
    widths.push_back(in.back().channels);
  }
  middle = read_block(weights, "mid_blocks.", channels, size);
  for (int i = 0; weights.has_below("out_blocks." + std::to_string(i) + "."); ++i) {
    channels = {i == 0 ? middle.channels : out.back().channels, widths.back()};
    widths.pop_back();
    out.push_back(read_block(weights, "out_blocks." + std::to_string(i) + ".", channels, size));
  }
  head_norm = Norm(weights, "out.gn");
  head = convolution(weights, "out.conv", {out.back().channels}, size);
  std::vector<Convolution*> all = all_convolutions();
  const auto weights_of = [](const Convolution* c) { return c->in_blocks() * c->out_blocks() * c->shape().kernel; };
  std::sort(all.begin(), all.end(), [&](const Convolution* a, const Convolution* b) { return weights_of(a) > weights_of(b); });  // no large one at the end
#pragma omp parallel for schedule(dynamic)
  for (Convolution* one : all) one->pack();
}

std::vector<Convolution*> UNetEngine::Net::all_convolutions() {
  std::vector<Convolution*> all{&head};
  for (ResBlock& b : res_blocks) {
    all.insert(all.end(), {&b.first, &b.second});
    if (b.has_shortcut) all.push_back(&b.shortcut);
  }
  for (Attention& a : attentions) all.insert(all.end(), {&a.qkv, &a.proj});
  for (Convolution& c : convolutions) all.push_back(&c);
  return all;
}

Convolution UNetEngine::Net::convolution(const Weights& weights, const std::string& name, const std::vector<int>& channels, Size size, int stride,
                                         bool doubled, std::vector<int> out_places) {
  const Tensor weight = weights(name + ".weight");
  Convolution::Shape shape;
  shape.kernel = weight.dim() == 4 ? static_cast<int>(weight.size(2)) : 1;
  shape.stride = stride;
  shape.rows = size.rows;
  shape.columns = size.columns;
  shape.doubled = doubled;
  shape.in_channels = static_cast<int>(weight.size(1));
  // As UNet: attention and the output stay in float32. Without tiles Winograd's float32 is the faster one.
  shape.bfloat16 = precision == Precision::kBfloat16 && weight.dim() == 4 && name != "out.conv" && has_tiles();
  int from = 0;
  for (const int count : channels) {
    append_channels(shape.in_channel, from, count);
    from += count;
  }
  LAV_CHECK(from <= shape.in_channels || !out_places.empty(), name + ": channels of the input");
  if (out_places.empty()) append_channels(out_places, 0, static_cast<int>(weight.size(0)));
  shape.out_channel = std::move(out_places);
  return {std::move(shape), data_of(weight), data_of(weights(name + ".bias"))};
}

Block UNetEngine::Net::read_block(const Weights& weights, const std::string& name, const std::vector<int>& inputs, Size& size) {
  Block block;
  std::vector<int> channels = inputs;
  for (int j = 0; weights.has_below(name + std::to_string(j) + "."); ++j) {
    const std::string part = name + std::to_string(j);
    if (weights.has(part + ".conv_1.2.weight")) {
      ResBlock res;
      res.norm = Norm(weights, part + ".conv_1.0");
      res.inner = Norm(weights, part + ".norm_with_embedding.norm");
      res.embedding_weight = weights(part + ".norm_with_embedding.embedding_layer.1.weight");
      res.embedding_bias = weights(part + ".norm_with_embedding.embedding_layer.1.bias");
      res.first = convolution(weights, part + ".conv_1.2", channels, size);
      const auto width = static_cast<int>(res.inner.weight.size(0));
      res.second = convolution(weights, part + ".conv_2.1", {width}, size);
      res.has_shortcut = weights.has(part + ".shortcut.weight");
      if (res.has_shortcut) res.shortcut = convolution(weights, part + ".shortcut", channels, size);
      channels = {width};
      block.parts.push_back({Part::Kind::kResBlock, res_blocks.size()});
      res_blocks.push_back(std::move(res));
    } else if (weights.has(part + ".qkv.weight")) {
      Attention attention;
      attention.norm = Norm(weights, part + ".norm");
      const int width = channels[0];
      attention.head_channels = width / heads;
      std::vector<int> thirds, of_heads;  // every head's q, k and v fill whole blocks
      for (int i = 0; i < 3 * heads; ++i) append_channels(thirds, i * attention.head_channels, attention.head_channels);
      attention.qkv = convolution(weights, part + ".qkv", {width}, size, 1, false, thirds);
      attention.proj = convolution(weights, part + ".proj", std::vector<int>(static_cast<std::size_t>(heads), attention.head_channels), size);
      block.parts.push_back({Part::Kind::kAttention, attentions.size()});
      attentions.push_back(std::move(attention));
    } else {
      const bool down = weights.has(part + ".downsample.weight"), up = weights.has(part + ".conv.weight");
      if (up) size = {2 * size.rows, 2 * size.columns};
      const std::string conv = down ? part + ".downsample" : up ? part + ".conv" : part;
      convolutions.push_back(convolution(weights, conv, channels, size, down ? 2 : 1, up));
      channels = {static_cast<int>(weights(conv + ".bias").size(0))};
      size = {convolutions.back().out_rows(), convolutions.back().out_columns()};
      block.parts.push_back({Part::Kind::kConvolution, convolutions.size() - 1});
    }
  }
  block.channels = channels[0];
  block.rows = size.rows;
  block.columns = size.columns;
  return block;
}

// Memory for `count` images.
void UNetEngine::Net::plan(int count) {
  if (count == images) return;
  images = count;
  memory.clear();
  const auto allocate = [&](Value& value, std::size_t size) {
    memory.emplace_back(size);
    value.map.data = memory.back().data();
  };
  input.map.blocks = convolutions.front().in_blocks();
  allocate(input, input.map.size(count));
  skips.resize(in.size());
  std::size_t largest = 0, attention = 0;
  const auto consider = [&](const Block& block) {
    const FeatureMap map{nullptr, blocks_of(block.channels), block.rows, block.columns};
    largest = std::max(largest, map.size(count));
    for (const Part& part : block.parts)
      if (part.kind == Part::Kind::kAttention)
        attention = std::max(attention, FeatureMap{nullptr, 3 * heads * blocks_of(block.channels / heads), block.rows, block.columns}.size(count));
    return map;
  };
  for (std::size_t i = 0; i < in.size(); ++i) {
    const FeatureMap map = consider(in[i]);
    allocate(skips[i], map.size(count));
  }
  consider(middle);
  for (const Block& block : out) consider(block);
  for (Value* value : {&turns[0], &turns[1], &inner}) allocate(*value, largest);
  for (Value* value : {&qkv, &attended}) allocate(*value, attention);
  allocate(result, FeatureMap{nullptr, head.out_blocks(), input.map.rows, input.map.columns}.size(count));
}

void UNetEngine::Net::embed(const Tensor& t) {
  const auto half = time_weight[0].size(1) / 2;
  const Tensor waves = sinusoidal_embedding(t, half).contiguous();
  const auto width = static_cast<int>(time_weight[0].size(0));
  const auto silu_all = [](std::vector<float>& x) {
    for (float& v : x) v = v / (1.0F + std::exp(-v));
  };
  std::vector<float> hidden(static_cast<std::size_t>(images * width));
  linear(data_of(waves), images, static_cast<int>(2 * half), width, data_of(time_weight[0]), data_of(time_bias[0]), hidden.data());
  silu_all(hidden);
  embedding.resize(hidden.size());
  linear(hidden.data(), images, width, width, data_of(time_weight[1]), data_of(time_bias[1]), embedding.data());
  silu_all(embedding);  // every block sees it so
}

void UNetEngine::Net::set_norm(const std::vector<Value*>& values, const Norm& norm, const float* gains, const float* offsets) {
  std::vector<NormPart> parts;
  for (Value* value : values) {
    const auto size = static_cast<std::size_t>(images * value->map.blocks * kBlock);
    value->scale.assign(size, 0.0F);
    value->shift.assign(size, 0.0F);
    parts.push_back({&value->moments, value->channels, value->scale.data(), value->shift.data()});
  }
  normalise(parts, images, norm_groups(static_cast<int>(norm.weight.size(0))), data_of(norm.weight), data_of(norm.bias), gains, offsets);
}

void UNetEngine::Net::run(const Convolution& conv, const std::vector<Value*>& inputs, Read read, Value& to, const float* residual, bool moments) {
  to.map.blocks = conv.out_blocks();
  to.map.rows = conv.out_rows();
  to.map.columns = conv.out_columns();
  Convolution::Run job;
  for (const Value* value : inputs)
    job.inputs.push_back({value->map, read == Read::kPlain ? nullptr : value->scale.data(), read == Read::kPlain ? nullptr : value->shift.data()});
  job.silu = read == Read::kNormedSilu;
  job.out = to.map;
  job.residual = residual;
  job.moments = moments ? &to.moments : nullptr;
  job.images = images;
  conv.run(job, scratch);
}

void UNetEngine::Net::run(const ResBlock& block, const std::vector<Value*>& inputs, Value& to) {
  const auto width = static_cast<int>(block.inner.weight.size(0));
  set_norm(inputs, block.norm);
  run(block.first, inputs, Read::kNormedSilu, inner);
  inner.channels = width;
  gain_and_offset.resize(static_cast<std::size_t>(2 * images * width));
  linear(embedding.data(), images, static_cast<int>(block.embedding_weight.size(1)), 2 * width, data_of(block.embedding_weight), data_of(block.embedding_bias),
         gain_and_offset.data());
  gain.clear();
  offset.clear();
  for (auto at = gain_and_offset.begin(); at != gain_and_offset.end(); at += 2 * width) {
    for (int c = 0; c < width; ++c) gain.push_back(1.0F + at[c]);
    offset.insert(offset.end(), at + width, at + 2 * width);
  }
  set_norm({&inner}, block.inner, gain.data(), offset.data());
  if (block.has_shortcut) run(block.shortcut, inputs, Read::kPlain, to, nullptr, false);
  run(block.second, {&inner}, Read::kNormedSilu, to, block.has_shortcut ? to.map.data : inputs[0]->map.data);
  to.channels = width;
}

void UNetEngine::Net::run(const Attention& attention, Value& value) {
  set_norm({&value}, attention.norm);
  run(attention.qkv, {&value}, Read::kNormed, qkv, nullptr, false);
  attended.map = {attended.map.data, heads * blocks_of(attention.head_channels), value.map.rows, value.map.columns};
  attend(qkv.map, attended.map, images, heads, attention.head_channels, keys, scratch);
  run(attention.proj, {&attended}, Read::kPlain, value, value.map.data);
}

// Parts after the first one work in place, but for an Up at the end.
void UNetEngine::Net::run(const Block& block, const std::vector<Value*>& inputs, Value& to) {
  std::vector<Value*> sources = inputs;
  for (const Part& part : block.parts) {
    if (part.kind == Part::Kind::kResBlock) {
      run(res_blocks[part.index], sources, to);
    } else if (part.kind == Part::Kind::kAttention) {
      run(attentions[part.index], *sources[0]);
    } else if (sources[0] == &to) {
      run(convolutions[part.index], sources, Read::kPlain, inner);
      std::swap(inner, to);
    } else {
      run(convolutions[part.index], sources, Read::kPlain, to);
    }
    to.channels = block.channels;
    sources = {&to};
  }
}

Tensor UNetEngine::Net::forward(const Tensor& x, const Tensor& estimate, const Tensor& t) {
  plan(static_cast<int>(x.size(0)));
  const auto channels = static_cast<int>(x.size(1));
  to_blocks(tensor::floats(x, "x"), images, channels, input.map, 0);
  if (estimate.defined()) to_blocks(tensor::floats(estimate, "estimate"), images, channels, input.map, blocks_of(channels));
  embed(t);
  Value* h = &input;
  for (std::size_t i = 0; i < in.size(); ++i) {
    run(in[i], {h}, skips[i]);
    h = &skips[i];
  }
  run(middle, {h}, turns[0]);
  for (std::size_t i = 0; i < out.size(); ++i) run(out[i], {&turns[i % 2], &skips[skips.size() - 1 - i]}, turns[(i + 1) % 2]);
  Value& last = turns[out.size() % 2];
  set_norm({&last}, head_norm);
  run(head, {&last}, Read::kNormedSilu, result, nullptr, false);
  Tensor y = torch::empty_like(x);
  from_blocks(result.map, images, channels, tensor::mutable_floats(y, "output"));
  return y;
}

UNetEngine::Work UNetEngine::Net::work() {
  Work sum;
  for (const Convolution* c : all_convolutions()) {
    sum.products += c->products();
    sum.weight_bytes += static_cast<double>(c->memory());
  }
  return sum;
}

std::size_t UNetEngine::Net::bytes() {
  std::size_t sum = static_cast<std::size_t>(work().weight_bytes) + keys.size() * sizeof(float);
  for (const auto* list : {&memory, &scratch})
    for (const Floats& one : *list) sum += one.size() * sizeof(float);
  return sum;
}

UNetEngine::UNetEngine(std::shared_ptr<UNet> unet) : unet_(std::move(unet)) {}
UNetEngine::~UNetEngine() = default;

Tensor UNetEngine::forward(const Tensor& x, const Tensor& t, const Classes* classes) {
  const UNetConfig& config = unet_->config();
  tensor::expect_shape(x, {-1, config.in_channels, config.image_size[0], config.image_size[1]}, "x");
  tensor::expect_shape(t, {x.size(0)}, "t");
  const torch::NoGradGuard no_grad;
  prepare();
  return unet_->with_prior(x, t, [&](const Tensor& estimate) {
    return net_->forward(x.contiguous(), estimate.defined() ? estimate.contiguous() : estimate, t);
  }, classes);
}

void UNetEngine::prepare() {
  if (net_ != nullptr && net_->precision == unet_->precision() && net_->versions == versions_of(*unet_)) return;
  net_.reset();
  net_ = std::make_unique<Net>(*unet_);
}

UNetEngine::Work UNetEngine::work() const { return net_ == nullptr ? Work{} : net_->work(); }

std::size_t UNetEngine::memory() const { return net_ == nullptr ? 0 : net_->bytes(); }

}  // namespace layeravatar::diffusion
