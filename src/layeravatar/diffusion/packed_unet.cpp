#include "layeravatar/diffusion/packed_unet.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "layeravatar/core/error.h"

namespace layeravatar::diffusion {
namespace {

constexpr int kMostPixels = 1 << 14;             // of a side
constexpr std::int64_t kMostChannels = 1 << 17;  // so that products of two numbers of blocks are whole numbers of 32 bits

// Channels `from` to `from + count` in whole blocks.
void append_channels(std::vector<int>& places, int from, int count) {
  for (int i = 0; i < blocks_of(count) * kBlock; ++i) places.push_back(i < count ? from + i : -1);
}

int sum_of(const std::vector<int>& channels) {
  int sum = 0;
  for (const int count : channels) sum += count;
  return sum;
}

struct Size {
  int rows, columns;
};

}  // namespace

// Layers from names. Every size that a pass relies on is checked here.
class PackedUNet::Reader {
 public:
  Reader(PackedUNet& net, const NamedWeights& weights) : net_(net), weights_(weights), size_{net.sizes_.rows, net.sizes_.columns} {}

  void read() {
    const Sizes& s = net_.sizes_;
    LAV_CHECK(s.rows > 0 && s.columns > 0 && s.rows <= kMostPixels && s.columns <= kMostPixels && s.channels > 0 && s.channels <= kMostChannels && s.heads > 0, "U-Net: sizes");
    net_.waves_ = columns_of("time_embedding.blocks.0.weight");
    net_.time_channels_ = rows_of("time_embedding.blocks.0.weight");
    LAV_CHECK(net_.waves_ % 2 == 0, "U-Net: waves of the time embedding");
    const int width = net_.time_channels_;
    for (int i = 0; i < 2; ++i) {
      const std::string name = "time_embedding.blocks." + std::to_string(2 * i);
      net_.time_weight_[i] = take(name + ".weight", {width, i == 0 ? net_.waves_ : width});
      net_.time_bias_[i] = take(name + ".bias", {width});
    }
    std::vector<int> channels(s.estimate ? 2 : 1, s.channels);
    for (int i = 0; has_below("in_blocks." + std::to_string(i) + "."); ++i) {
      net_.in_.push_back(read_block("in_blocks." + std::to_string(i) + ".", channels));
      channels = {net_.in_.back().channels};
    }
    LAV_CHECK(!net_.in_.empty() && net_.in_[0].parts[0].kind == Part::Kind::kConvolution, "U-Net: no convolution of the input");
    net_.middle_ = read_block("mid_blocks.", channels);
    for (std::size_t i = 0; i < net_.in_.size(); ++i) {
      const Block& skip = net_.in_[net_.in_.size() - 1 - i];
      const std::string name = "out_blocks." + std::to_string(i) + ".";
      LAV_CHECK(has_below(name) && size_.rows == skip.rows && size_.columns == skip.columns, "U-Net: " + name + " does not fit what it is joined with");
      net_.out_.push_back(read_block(name, {i == 0 ? net_.middle_.channels : net_.out_.back().channels, skip.channels}, true));
    }
    net_.head_norm_ = norm("out.gn", net_.out_.back().channels);
    LAV_CHECK(size_.rows == s.rows && size_.columns == s.columns, "U-Net: the output has another size than the input");
    net_.head_ = convolution("out.conv", {net_.out_.back().channels}, s.channels, 3);
  }

 private:
  [[nodiscard]] bool has(const std::string& name) const { return weights_.contains(name); }
  // Any parameter below `prefix`.
  [[nodiscard]] bool has_below(const std::string& prefix) const {
    const auto at = weights_.lower_bound(prefix);
    return at != weights_.end() && at->first.starts_with(prefix);
  }
  [[nodiscard]] const NamedWeight& need(const std::string& name) const {
    const auto at = weights_.find(name);
    LAV_CHECK(at != weights_.end() && at->second.data != nullptr, "U-Net: no weights " + name);
    for (const std::int64_t n : at->second.shape) LAV_CHECK(n > 0 && n <= kMostChannels, "U-Net: sizes of " + name);
    return at->second;
  }
  [[nodiscard]] int size_of(const std::string& name, std::size_t axis) const {
    const NamedWeight& w = need(name);
    LAV_CHECK(axis < w.shape.size(), "U-Net: sizes of " + name);
    return static_cast<int>(w.shape[axis]);
  }
  [[nodiscard]] int rows_of(const std::string& name) const { return size_of(name, 0); }
  [[nodiscard]] int columns_of(const std::string& name) const { return size_of(name, 1); }
  [[nodiscard]] const float* take(const std::string& name, const std::vector<std::int64_t>& shape) const {
    const NamedWeight& w = need(name);
    LAV_CHECK(w.shape == shape, "U-Net: sizes of " + name);
    return w.data;
  }
  [[nodiscard]] Norm norm(const std::string& name, int channels) const {
    return {take(name + ".weight", {channels}), take(name + ".bias", {channels}), channels};
  }

  [[nodiscard]] Convolution convolution(const std::string& name, const std::vector<int>& channels, int outputs, int kernel, int stride = 1, bool doubled = false,
                                        std::vector<int> out_places = {}) const {
    const bool flat = need(name + ".weight").shape.size() == 3;  // over a row of pixels: attention's
    Convolution::Shape shape;
    shape.kernel = kernel;
    shape.stride = stride;
    shape.rows = size_.rows;
    shape.columns = size_.columns;
    shape.doubled = doubled;
    shape.in_channels = sum_of(channels);
    // As UNet: attention and the output stay in float32. Without tiles Winograd's float32 is the faster one.
    shape.bfloat16 = net_.sizes_.bfloat16 && !flat && name != "out.conv" && has_tiles();
    int from = 0;
    for (const int count : channels) {
      append_channels(shape.in_channel, from, count);
      from += count;
    }
    if (out_places.empty()) append_channels(out_places, 0, outputs);
    shape.out_channel = std::move(out_places);
    std::vector<std::int64_t> sizes{outputs, shape.in_channels, kernel};
    if (!flat) sizes.push_back(kernel);
    LAV_CHECK(kernel == 1 || (kernel == 3 && !flat), "U-Net: sizes of " + name);
    const float* weights = take(name + ".weight", sizes);
    return {std::move(shape), weights, take(name + ".bias", {outputs})};
  }

  Block read_block(const std::string& name, const std::vector<int>& inputs, bool outgoing = false) {
    Block block;
    std::vector<int> channels = inputs;
    for (int j = 0; has_below(name + std::to_string(j) + "."); ++j) {
      const std::string part = name + std::to_string(j);
      if (has(part + ".conv_1.2.weight")) {
        ResBlock res;
        const int width = rows_of(part + ".conv_1.2.weight");
        res.norm = norm(part + ".conv_1.0", sum_of(channels));
        res.inner = norm(part + ".norm_with_embedding.norm", width);
        res.embedding_weight = take(part + ".norm_with_embedding.embedding_layer.1.weight", {2 * width, net_.time_channels_});
        res.embedding_bias = take(part + ".norm_with_embedding.embedding_layer.1.bias", {2 * width});
        res.first = convolution(part + ".conv_1.2", channels, width, 3);
        res.second = convolution(part + ".conv_2.1", {width}, width, 3);
        res.has_shortcut = has(part + ".shortcut.weight");
        LAV_CHECK(!res.has_shortcut || j == 0, "U-Net: the place of " + part);  // later ones work in place, which a shortcut's threads would read
        if (res.has_shortcut) res.shortcut = convolution(part + ".shortcut", channels, width, 1);
        else LAV_CHECK(channels == std::vector<int>{width}, "U-Net: no shortcut of " + part);
        channels = {width};
        block.parts.push_back({Part::Kind::kResBlock, net_.res_blocks_.size()});
        net_.res_blocks_.push_back(std::move(res));
      } else if (has(part + ".qkv.weight")) {
        LAV_CHECK(channels.size() == 1 && channels[0] % net_.sizes_.heads == 0 && j > 0, "U-Net: channels of " + part);
        const int width = channels[0], heads = net_.sizes_.heads;
        Attention attention;
        attention.norm = norm(part + ".norm", width);
        attention.head_channels = width / heads;
        std::vector<int> thirds;  // every head's q, k and v fill whole blocks
        for (int i = 0; i < 3 * heads; ++i) append_channels(thirds, i * attention.head_channels, attention.head_channels);
        attention.qkv = convolution(part + ".qkv", {width}, 3 * width, 1, 1, false, thirds);
        attention.proj = convolution(part + ".proj", std::vector<int>(static_cast<std::size_t>(heads), attention.head_channels), width, 1);
        block.parts.push_back({Part::Kind::kAttention, net_.attentions_.size()});
        net_.attentions_.push_back(std::move(attention));
      } else {
        const bool down = has(part + ".downsample.weight"), up = has(part + ".conv.weight");
        LAV_CHECK(up ? outgoing : j == 0, "U-Net: the place of " + part);
        if (up) size_ = {2 * size_.rows, 2 * size_.columns};
        LAV_CHECK(size_.rows <= kMostPixels && size_.columns <= kMostPixels, "U-Net: size at " + part);
        const std::string conv = down ? part + ".downsample" : up ? part + ".conv" : part;
        const int width = rows_of(conv + ".weight"), kernel = size_of(conv + ".weight", 2);
        LAV_CHECK(kernel == 3 || (!down && !up), "U-Net: sizes of " + conv);
        net_.convolutions_.push_back(convolution(conv, channels, width, kernel, down ? 2 : 1, up));
        channels = {width};
        size_ = {net_.convolutions_.back().out_rows(), net_.convolutions_.back().out_columns()};
        block.parts.push_back({Part::Kind::kConvolution, net_.convolutions_.size() - 1});
      }
      LAV_CHECK(j == 0 || channels[0] == block.channels, "U-Net: channels of " + part);  // all parts but the first work in one place
      block.channels = channels[0];
    }
    LAV_CHECK(!block.parts.empty(), "U-Net: nothing in " + name);
    block.rows = size_.rows;
    block.columns = size_.columns;
    return block;
  }

  PackedUNet& net_;
  const NamedWeights& weights_;
  Size size_;
};

template <class Self, class Visit>
void PackedUNet::each_convolution(Self& self, const Visit& visit) {
  visit(self.head_);
  for (auto& b : self.res_blocks_) {
    visit(b.first);
    visit(b.second);
    if (b.has_shortcut) visit(b.shortcut);
  }
  for (auto& a : self.attentions_) {
    visit(a.qkv);
    visit(a.proj);
  }
  for (auto& c : self.convolutions_) visit(c);
}

PackedUNet::PackedUNet(const NamedWeights& weights, std::shared_ptr<const void> owner, const Sizes& sizes) : sizes_(sizes), owner_(std::move(owner)) {
  Reader(*this, weights).read();
  input_.map.rows = sizes.rows;
  input_.map.columns = sizes.columns;
  each_convolution(*this, [&](Convolution& c) { order_.push_back(&c); });
  const auto weights_of = [](const Convolution* c) { return std::int64_t{c->in_blocks()} * c->out_blocks() * c->shape().kernel; };
  std::sort(order_.begin(), order_.end(), [&](const Convolution* a, const Convolution* b) { return weights_of(a) > weights_of(b); });  // no large one at the end
}

void PackedUNet::pack() {
  std::unique_lock lock(guard_);
  while (begun_ < order_.size()) {
    Convolution& next = *order_[begun_++];
    lock.unlock();
    std::exception_ptr failure;
    try {
      next.pack();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) failure_ = failure;
    if (++packed_ == order_.size()) changed_.notify_all();
  }
}

void PackedUNet::wait_until_packed() {
  std::unique_lock lock(guard_);
  changed_.wait(lock, [&] { return packed_ == order_.size(); });
  if (failure_) std::rethrow_exception(failure_);
}

// Memory for `count` images.
void PackedUNet::plan(int count) {
  if (count == images_) return;
  images_ = count;
  memory_.clear();
  const auto allocate = [&](Value& value, std::size_t size) {
    memory_.emplace_back(size);
    value.map.data = memory_.back().data();
  };
  input_.map.blocks = convolutions_.front().in_blocks();
  allocate(input_, input_.map.size(count));
  skips_.resize(in_.size());
  std::size_t largest = 0, attention = 0;
  const auto consider = [&](const Block& block) {
    const FeatureMap map{nullptr, blocks_of(block.channels), block.rows, block.columns};
    largest = std::max(largest, map.size(count));
    for (const Part& part : block.parts)
      if (part.kind == Part::Kind::kAttention)
        attention = std::max(attention, FeatureMap{nullptr, 3 * sizes_.heads * blocks_of(block.channels / sizes_.heads), block.rows, block.columns}.size(count));
    return map;
  };
  for (std::size_t i = 0; i < in_.size(); ++i) {
    const FeatureMap map = consider(in_[i]);
    allocate(skips_[i], map.size(count));
  }
  consider(middle_);
  for (const Block& block : out_) consider(block);
  for (Value* value : {&turns_[0], &turns_[1], &inner_}) allocate(*value, largest);
  for (Value* value : {&qkv_, &attended_}) allocate(*value, attention);
  allocate(result_, FeatureMap{nullptr, head_.out_blocks(), input_.map.rows, input_.map.columns}.size(count));
}

void PackedUNet::embed(const float* waves) {
  const int width = time_channels_;
  const auto silu_all = [](std::vector<float>& x) {
    for (float& v : x) v = v / (1.0F + std::exp(-v));
  };
  std::vector<float> hidden(static_cast<std::size_t>(images_ * width));
  linear(waves, images_, waves_, width, time_weight_[0], time_bias_[0], hidden.data());
  silu_all(hidden);
  embedding_.resize(hidden.size());
  linear(hidden.data(), images_, width, width, time_weight_[1], time_bias_[1], embedding_.data());
  silu_all(embedding_);  // every block sees it so
}

void PackedUNet::set_norm(const std::vector<Value*>& values, const Norm& norm, const float* gains, const float* offsets) {
  std::vector<NormPart> parts;
  for (Value* value : values) {
    const auto size = static_cast<std::size_t>(images_ * value->map.blocks * kBlock);
    value->scale.assign(size, 0.0F);
    value->shift.assign(size, 0.0F);
    parts.push_back({&value->moments, value->channels, value->scale.data(), value->shift.data()});
  }
  normalise(parts, images_, norm_groups(norm.channels), norm.weight, norm.bias, gains, offsets);
}

void PackedUNet::run(const Convolution& conv, const std::vector<Value*>& inputs, Read read, Value& to, const float* residual, bool moments) {
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
  job.images = images_;
  conv.run(job, scratch_);
}

void PackedUNet::run(const ResBlock& block, const std::vector<Value*>& inputs, Value& to) {
  const int width = block.inner.channels;
  set_norm(inputs, block.norm);
  run(block.first, inputs, Read::kNormedSilu, inner_);
  inner_.channels = width;
  gain_and_offset_.resize(static_cast<std::size_t>(2 * images_ * width));
  linear(embedding_.data(), images_, time_channels_, 2 * width, block.embedding_weight, block.embedding_bias, gain_and_offset_.data());
  gain_.clear();
  offset_.clear();
  for (auto at = gain_and_offset_.begin(); at != gain_and_offset_.end(); at += 2 * width) {
    for (int c = 0; c < width; ++c) gain_.push_back(1.0F + at[c]);
    offset_.insert(offset_.end(), at + width, at + 2 * width);
  }
  set_norm({&inner_}, block.inner, gain_.data(), offset_.data());
  if (block.has_shortcut) run(block.shortcut, inputs, Read::kPlain, to, nullptr, false);
  run(block.second, {&inner_}, Read::kNormedSilu, to, block.has_shortcut ? to.map.data : inputs[0]->map.data);
  to.channels = width;
}

void PackedUNet::run(const Attention& attention, Value& value) {
  set_norm({&value}, attention.norm);
  run(attention.qkv, {&value}, Read::kNormed, qkv_, nullptr, false);
  attended_.map = {attended_.map.data, sizes_.heads * blocks_of(attention.head_channels), value.map.rows, value.map.columns};
  attend(qkv_.map, attended_.map, images_, sizes_.heads, attention.head_channels, keys_, scratch_);
  run(attention.proj, {&attended_}, Read::kPlain, value, value.map.data);
}

// Parts after the first one work in place, but for an Up at the end.
void PackedUNet::run(const Block& block, const std::vector<Value*>& inputs, Value& to) {
  std::vector<Value*> sources = inputs;
  for (const Part& part : block.parts) {
    if (part.kind == Part::Kind::kResBlock) {
      run(res_blocks_[part.index], sources, to);
    } else if (part.kind == Part::Kind::kAttention) {
      run(attentions_[part.index], *sources[0]);
    } else if (sources[0] == &to) {
      run(convolutions_[part.index], sources, Read::kPlain, inner_);
      std::swap(inner_, to);
    } else {
      run(convolutions_[part.index], sources, Read::kPlain, to);
    }
    to.channels = block.channels;
    sources = {&to};
  }
}

void PackedUNet::forward(const float* x, const float* estimate, const float* waves, int images, float* y) {
  wait_until_packed();
  LAV_CHECK((estimate != nullptr) == sizes_.estimate, "U-Net: an input too many or too few");
  plan(images);
  to_blocks(x, images, sizes_.channels, input_.map, 0);
  if (estimate != nullptr) to_blocks(estimate, images, sizes_.channels, input_.map, blocks_of(sizes_.channels));
  embed(waves);
  Value* h = &input_;
  for (std::size_t i = 0; i < in_.size(); ++i) {
    run(in_[i], {h}, skips_[i]);
    h = &skips_[i];
  }
  run(middle_, {h}, turns_[0]);
  for (std::size_t i = 0; i < out_.size(); ++i) run(out_[i], {&turns_[i % 2], &skips_[skips_.size() - 1 - i]}, turns_[(i + 1) % 2]);
  Value& last = turns_[out_.size() % 2];
  set_norm({&last}, head_norm_);
  run(head_, {&last}, Read::kNormedSilu, result_, nullptr, false);
  from_blocks(result_.map, images, sizes_.channels, y);
}

PackedUNet::Work PackedUNet::work() const {
  Work sum;
  each_convolution(*this, [&](const Convolution& c) {
    sum.products += c.products();
    sum.weight_bytes += static_cast<double>(c.memory());
  });
  return sum;
}

std::size_t PackedUNet::bytes() const {
  std::size_t sum = static_cast<std::size_t>(work().weight_bytes) + keys_.size() * sizeof(float);
  for (const auto* list : {&memory_, &scratch_})
    for (const Floats& one : *list) sum += one.size() * sizeof(float);
  return sum;
}

}  // namespace layeravatar::diffusion
