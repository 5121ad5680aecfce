/**
 * Where the datasets come from: addresses of their publishers and of official mirrors, sizes and checksums, licences.
 * Sums of MNIST are those of the published files themselves. The others are as published by at least two of: the publishers'
 * pages, torchvision, TensorFlow Datasets, MLDatasets.jl.
 */

import { EMNIST_SPLITS, type EmnistSplit } from '../../data/dataset.js';

export interface Sums {
  /** null where the size is not published. */
  bytes: number | null;
  sha256?: string;
  /** Where no SHA-256 is published. */
  md5?: string;
}

/** A file as it lies in the dataset's folder. */
export interface DataFile extends Sums {
  name: string;
  /** Of a `.gz`: SHA-256 of what it unpacks to, for copies that were unpacked or packed again. */
  content?: string;
}

/** Something to download: a file of the dataset, or an archive of them. */
export interface Download extends Sums {
  name: string;
  bytes: number;
  sha256: string;
  /** Tried in this order. */
  addresses: readonly string[];
  /** Files in the archive, by the ends of their names in it. */
  members?: readonly DataFile[];
  /** SHA-256 of the unpacked file; see `DataFile`. */
  content?: string;
}

export interface CatalogEntry {
  name: string;
  title: string;
  home: string;
  licence: string;
  /** Where below a data folder its files lie. */
  folder: string;
  downloads: readonly Download[];
}

const IDX = [
  'train-images-idx3-ubyte.gz',
  'train-labels-idx1-ubyte.gz',
  't10k-images-idx3-ubyte.gz',
  't10k-labels-idx1-ubyte.gz',
] as const;

type Row = readonly [bytes: number, sha256: string, content?: string];

/** The four files of MNIST and of datasets in its format. */
const idxDownloads = (mirrors: readonly string[], rows: readonly [Row, Row, Row, Row]): Download[] =>
  rows.map(([bytes, sha256, content], i) => ({
    name: IDX[i],
    bytes,
    sha256,
    addresses: mirrors.map((mirror) => mirror + IDX[i]),
    ...(content !== undefined && { content }),
  }));

/** MD5 of training images and labels, test images and labels: the publisher gives one sum, of the archive. */
const EMNIST_SUMS: Readonly<Record<EmnistSplit, readonly [string, string, string, string]>> = {
  balanced: [
    '4041b0d6f15785d3fa35263901b5496b',
    '7a35cc7b2b7ee7671eddf028570fbd20',
    '6818d20fe2ce1880476f747bbc80b22b',
    'acd3694070dcbf620e36670519d4b32f',
  ],
  byclass: [
    '712dda0bd6f00690f32236ae4325c377',
    'ee299a3ee5faf5c31e9406763eae7e43',
    '1435209e34070a9002867a9ab50160d7',
    '7a0f934bd176c798ecba96b36fda6657',
  ],
  bymerge: [
    '4a792d4df261d7e1ba27979573bf53f3',
    '491be69ef99e1ab1f5b7f9ccc908bb26',
    '8eb5d34c91f1759a55831c37ec2a283f',
    'c13f4cd5211cdba1b8fa992dae2be992',
  ],
  digits: [
    'd2662ecdc47895a6bbfce25de9e9a677',
    '2223fcfee618ac9c89ef20b6e48bcf9e',
    'a159b8b3bd6ab4ed4793c1cb71a2f5cc',
    '8afde66ea51d865689083ba6bb779fac',
  ],
  letters: [
    '8795078f199c478165fe18db82625747',
    'c16de4f1848ddcdddd39ab65d2a7be52',
    '382093a19703f68edac6d01b8dfdfcad',
    'd4108920cd86601ec7689a97f2de7f59',
  ],
  mnist: [
    '3663598a39195d030895b6304abb5065',
    '6c092f03c9bb63e678f80f8bc605fe37',
    'fb51b6430fc4dd67deaada1bf25d4524',
    'ae7f6be798a9a5d5f2bd32e078a402dd',
  ],
};

const EMNIST_PARTS = ['train-images-idx3', 'train-labels-idx1', 'test-images-idx3', 'test-labels-idx1'] as const;

const emnistMembers = (): DataFile[] =>
  EMNIST_SPLITS.flatMap((split) =>
    EMNIST_PARTS.map((part, i) => ({
      name: `emnist-${split}-${part}-ubyte.gz`,
      bytes: null,
      md5: EMNIST_SUMS[split][i],
    })),
  );

/** Training batches of CIFAR-10, then its test batch. */
const CIFAR10_SUMS = [
  'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5',
  'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed',
  'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67',
  '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48',
  '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add',
];

export const CATALOG: readonly CatalogEntry[] = [
  {
    name: 'mnist',
    title: 'MNIST, 70,000 handwritten digits, 28 × 28',
    home: 'http://yann.lecun.com/exdb/mnist/',
    licence: 'CC BY-SA 3.0 (LeCun, Cortes, Burges)',
    folder: 'mnist',
    downloads: idxDownloads(
      [
        'https://ossci-datasets.s3.amazonaws.com/mnist/',
        'https://storage.googleapis.com/cvdf-datasets/mnist/',
        'http://yann.lecun.com/exdb/mnist/',
      ],
      [
        [
          9_912_422,
          '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
          'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
        ],
        [
          28_881,
          '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
          '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
        ],
        [
          1_648_877,
          '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
          '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
        ],
        [
          4_542,
          'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
          'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
        ],
      ],
    ),
  },
  {
    name: 'fashion-mnist',
    title: "Fashion-MNIST, 70,000 of Zalando's articles, 28 × 28",
    home: 'https://github.com/zalandoresearch/fashion-mnist',
    licence: 'MIT (Zalando SE)',
    folder: 'fashion-mnist',
    downloads: idxDownloads(
      [
        'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
        'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/',
      ],
      // What they unpack to is from Debian's package.
      [
        [
          26_421_880,
          '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84',
          'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
        ],
        [
          29_515,
          'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845',
          'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
        ],
        [
          4_422_102,
          '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073',
          '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
        ],
        [
          5_148,
          '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5',
          '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
        ],
      ],
    ),
  },
  {
    name: 'kmnist',
    title: 'Kuzushiji-MNIST, 70,000 cursive characters, 28 × 28',
    home: 'https://codh.rois.ac.jp/kmnist/',
    licence: 'CC BY-SA 4.0 (CODH)',
    folder: 'kmnist',
    downloads: idxDownloads(
      ['https://codh.rois.ac.jp/kmnist/dataset/kmnist/', 'http://codh.rois.ac.jp/kmnist/dataset/kmnist/'],
      [
        [18_165_135, '51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4'],
        [29_497, 'e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17'],
        [3_041_136, 'edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5'],
        [5_120, '20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c'],
      ],
    ),
  },
  {
    name: 'emnist',
    title: 'EMNIST, up to 814,255 handwritten letters and digits in six splits, 28 × 28',
    home: 'https://www.nist.gov/itl/products-and-services/emnist-dataset',
    licence: 'none stated; from NIST Special Database 19 (cite Cohen et al. 2017)',
    folder: 'emnist',
    downloads: [
      {
        name: 'gzip.zip',
        bytes: 561_753_746,
        sha256: 'fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e',
        addresses: ['https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip'],
        members: emnistMembers(),
      },
    ],
  },
  {
    name: 'cifar10',
    title: 'CIFAR-10, 60,000 colour pictures of 10 classes, 32 × 32',
    home: 'https://www.cs.toronto.edu/~kriz/cifar.html',
    licence: 'none stated (cite Krizhevsky 2009)',
    folder: 'cifar-10-batches-bin',
    downloads: [
      {
        name: 'cifar-10-binary.tar.gz',
        bytes: 170_052_171,
        sha256: 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
        addresses: ['https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz'],
        members: [
          ...CIFAR10_SUMS.map((sha256, i) => ({ name: `data_batch_${i + 1}.bin`, bytes: 30_730_000, sha256 })),
          {
            name: 'test_batch.bin',
            bytes: 30_730_000,
            sha256: '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b',
          },
        ],
      },
    ],
  },
  {
    name: 'cifar100',
    title: 'CIFAR-100, 60,000 colour pictures of 100 classes in 20 groups, 32 × 32',
    home: 'https://www.cs.toronto.edu/~kriz/cifar.html',
    licence: 'none stated (cite Krizhevsky 2009)',
    folder: 'cifar-100-binary',
    downloads: [
      {
        name: 'cifar-100-binary.tar.gz',
        bytes: 168_513_733,
        sha256: '58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec',
        addresses: ['https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz'],
        members: [
          {
            name: 'train.bin',
            bytes: 153_700_000,
            sha256: 'f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29',
          },
          {
            name: 'test.bin',
            bytes: 30_740_000,
            sha256: 'd8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a',
          },
        ],
      },
    ],
  },
  {
    name: 'svhn',
    title: 'SVHN, cropped digits (format 2): 73,257 for training, 26,032 for testing, 32 × 32',
    home: 'http://ufldl.stanford.edu/housenumbers/',
    licence: 'non-commercial use only (Netzer et al. 2011)',
    folder: 'svhn',
    downloads: [
      {
        name: 'train_32x32.mat',
        bytes: 182_040_794,
        sha256: '435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8',
        addresses: ['http://ufldl.stanford.edu/housenumbers/train_32x32.mat'],
      },
      {
        name: 'test_32x32.mat',
        bytes: 64_275_384,
        sha256: 'cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b',
        addresses: ['http://ufldl.stanford.edu/housenumbers/test_32x32.mat'],
      },
    ],
  },
];

/** Files that lie in the dataset's folder in the end. */
export const filesOf = ({ downloads }: Pick<CatalogEntry, 'downloads'>): DataFile[] =>
  downloads.flatMap(({ members, ...file }) => (members ? [...members] : [file]));
